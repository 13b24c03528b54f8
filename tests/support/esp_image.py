"""Small ESP32 application images, for the sample tree and for tests.

The layout is the one in Espressif's "App Image Format": a header that begins
with 0xE9, one segment that begins with the application's description, a
checksum, and the SHA-256 of all that.
"""

import hashlib
import struct
import sys
from pathlib import Path

LOAD_ADDRESS = 0x3F400020
DESCRIPTION_MAGIC = 0xABCD5432
CHECKSUM_SEED = 0xEF


def esp_image(version: str, payload: bytes = b"") -> bytes:
    """Build an image that says it is ``version`` and carries ``payload``."""
    description = struct.pack(
        "<II8x32s32s16s16s32s32s80x",
        DESCRIPTION_MAGIC, 0, version.encode(), b"otaserver-sample",
        b"00:00:00", b"Jan  1 2026", b"v4.4", hashlib.sha256(payload).digest(),
    )  # fmt: skip
    segment = description + payload
    segment += b"\0" * (-len(segment) % 4)
    header = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, 0x400800A0)
    header += struct.pack("<B3sHB8xB", 0xEE, b"\0\0\0", 0, 0, 1)
    image = header + struct.pack("<II", LOAD_ADDRESS, len(segment)) + segment
    checksum = CHECKSUM_SEED
    for byte in segment:
        checksum ^= byte
    image += b"\0" * (-(len(image) + 1) % 16) + bytes([checksum])
    return image + hashlib.sha256(image).digest()


def full_flash_image(table_offset: int, application_offset: int, partitions: int = 3) -> bytes:
    """Build what is written over a serial port: bootloader, partition table, application."""
    rows = [
        struct.pack("<2sBBII16sI", b"\xaa\x50", 0, number, 0x10000 << number, 0x10000, b"", 0)
        for number in range(partitions)
    ]
    table = b"".join(rows)
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table, usedforsecurity=False).digest()
    image = bytearray(b"\xff" * application_offset)
    bootloader = esp_image("bootloader", bytes(9000))
    image[: len(bootloader)] = bootloader
    image[table_offset : table_offset + len(table)] = table
    return bytes(image) + esp_image("1.0.1", bytes(20_000))


if __name__ == "__main__":
    for version in sys.argv[2:]:
        payload = hashlib.shake_256(version.encode()).digest(12_000)
        path = Path(sys.argv[1]) / f"firmware_{version}.bin"
        path.write_bytes(esp_image(version, payload))
