"""Recognizing ESP-IDF images, so that none is offered that a board can't boot.

A board's slot takes an application image: a header of 24 bytes, then segments, a
checksum, and most often a SHA-256 (ESP-IDF Programming Guide, "App Image Format"). What
builds call ``firmware.bin`` is often something else: bootloader, partition table and
application in one file, to be written over a serial port. It begins with an image, too,
that of the bootloader; the partition table behind it gives it away.
"""

import struct
from typing import BinaryIO

from otaserver.catalogue.release_rules import Breach

_MAGIC = b"\xe9"
_HEADER_BYTES = 24
_SEGMENT_HEADER_BYTES = 8
_MAX_SEGMENTS = 16

# Behind the segments, a checksum ends a block of 16 bytes; a SHA-256 may follow, as the
# last byte of the header says.
_BLOCK_BYTES = 16
_SHA256_BYTES = 32

# ESP-IDF Programming Guide, "Partition Tables": an entry begins with AA 50, is 32 bytes
# long, and the table fills a sector of 4096 bytes. EB EB begins the table's own MD5.
_TABLE_ENTRY = b"\xaa\x50"
_TABLE_SECOND = (_TABLE_ENTRY, b"\xeb\xeb")
_ENTRY_BYTES = 32
_SECTOR_BYTES = 4096
# The table lies within the first megabyte, at 0x8000 unless the bootloader is large.
_MAX_TABLE_OFFSET = 1 << 20


_REPLACE = "replace it by the image of the application alone, such as micropython.bin"


def image_breach(file: BinaryIO, size_bytes: int) -> Breach | None:
    """Check whether a file is a complete application image.

    The checksum is not looked at: the boards check it themselves.

    Args:
        file: the file, open for reading.
        size_bytes: its size.

    Returns:
        The rule that it breaks, if any.

    Raises:
        OSError: the file can't be read.
    """
    if size_bytes == 0:
        return Breach("", "is empty", "upload it again")
    if file.read(1) != _MAGIC:
        return Breach("", "is not an application image: its first byte isn't 0xE9", _REPLACE)
    end = _end_of_image(file)
    if end is not None and end > size_bytes:
        return Breach("", f"is cut short, by {end - size_bytes} bytes or more", "upload it again")
    if end is not None and _has_partition_table(file, end):
        return Breach("", "is a full flash image, with bootloader and partition table", _REPLACE)
    return None


def _end_of_image(file: BinaryIO) -> int | None:
    """Follow the segments to the end of the image; None if the header is none."""
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not 0 < header[1] <= _MAX_SEGMENTS:
        return None
    offset = _HEADER_BYTES
    for _ in range(header[1]):
        file.seek(offset)
        segment = file.read(_SEGMENT_HEADER_BYTES)
        offset += _SEGMENT_HEADER_BYTES
        if len(segment) < _SEGMENT_HEADER_BYTES:
            break
        offset += struct.unpack("<II", segment)[1]
    checksum_end = (offset // _BLOCK_BYTES + 1) * _BLOCK_BYTES
    return checksum_end + (_SHA256_BYTES if header[-1] == 1 else 0)


def _has_partition_table(file: BinaryIO, start: int) -> bool:
    """Look for a partition table behind the first image."""
    first_sector = -(-start // _SECTOR_BYTES) * _SECTOR_BYTES
    for offset in range(first_sector, _MAX_TABLE_OFFSET, _SECTOR_BYTES):
        file.seek(offset)
        entries = file.read(_ENTRY_BYTES + len(_TABLE_ENTRY))
        if not entries:
            return False
        if entries.startswith(_TABLE_ENTRY) and entries.endswith(_TABLE_SECOND):
            return True
    return False
