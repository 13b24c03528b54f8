"""Recognizing ESP-IDF images, so that none is offered that a board can't boot.

A board's slot takes an application image: a header of 24 bytes, then segments, a
checksum, and most often a SHA-256 (ESP-IDF Programming Guide, "App Image Format"). What
builds call ``firmware.bin`` is often something else: bootloader, partition table and
application in one file, to be written over a serial port. It begins with an image, too,
that of the bootloader; the partition table behind it gives it away.
"""

import struct
from typing import BinaryIO

_MAGIC = 0xE9
_HEADER_BYTES = 24
_SEGMENT_HEADER_BYTES = 8
_MAX_SEGMENTS = 16

# ESP-IDF Programming Guide, "Partition Tables": an entry begins with AA 50, is 32 bytes
# long, and the table fills a sector of 4096 bytes.
_TABLE_ENTRY = b"\xaa\x50"
_ENTRY_BYTES = 32
_SECTOR_BYTES = 4096
# The table lies within the first megabyte, at 0x8000 unless the bootloader is large.
_MAX_TABLE_OFFSET = 1 << 20


def image_fault(file: BinaryIO, size_bytes: int) -> str:
    """Tell what keeps a file from being an application image.

    Args:
        file: the file, open for reading.
        size_bytes: its size.

    Returns:
        What is wrong, so that it reads on after the file's name; empty if nothing is.

    Raises:
        OSError: the file can't be read.
    """
    if size_bytes == 0:
        return "is empty"
    if file.read(1)[0] != _MAGIC:
        return "is not an application image: its first byte isn't 0xE9"
    first_end = _end_of_image(file)
    if first_end is not None and _has_partition_table(file, first_end):
        return "is a full flash image, with bootloader and partition table"
    return ""


def _end_of_image(file: BinaryIO) -> int | None:
    """Follow the segments; None if they don't hang together."""
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not 0 < header[1] <= _MAX_SEGMENTS:
        return None
    offset = _HEADER_BYTES
    for _ in range(header[1]):
        file.seek(offset)
        segment = file.read(_SEGMENT_HEADER_BYTES)
        if len(segment) < _SEGMENT_HEADER_BYTES:
            return None
        _, length = struct.unpack("<II", segment)
        offset += _SEGMENT_HEADER_BYTES + length
    return offset


def _has_partition_table(file: BinaryIO, start: int) -> bool:
    """Look for a table of two or more partitions behind the first image."""
    first_sector = -(-start // _SECTOR_BYTES) * _SECTOR_BYTES
    for offset in range(first_sector, _MAX_TABLE_OFFSET, _SECTOR_BYTES):
        file.seek(offset)
        entries = file.read(_ENTRY_BYTES + len(_TABLE_ENTRY))
        if not entries:
            return False
        if entries.startswith(_TABLE_ENTRY) and entries.endswith(_TABLE_ENTRY):
            return True
    return False
