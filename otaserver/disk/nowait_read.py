"""Reading only what the kernel has in its page cache, so that nobody waits for a disk.

Not every file system can say whether a read would wait (``RWF_NOWAIT``, preadv2(2)). Those
that can are on disks of this machine: ext4, XFS, Btrfs, F2FS. There, the status of an open file
is in memory, too, so `os.fstat` never waits. Those that can't are network shares, FUSE, FAT
and tmpfs, and on the first two anything can wait, even `os.close`.
"""

import errno
import os

# The errors of file systems that can't tell.
_CANNOT_TELL = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def read_if_cached(descriptor: int, offset: int, length: int) -> bytes | None:
    """Read a part of a file, as far as possible without waiting for the disk.

    Args:
        descriptor: an open file.
        offset: where to begin, in bytes.
        length: how much to read, in bytes.

    Returns:
        What was read, which may be less than asked for; None if reading would wait
        for the disk, or the kernel can't tell.

    Raises:
        OSError: the file can't be read.
    """
    buffer = bytearray(length)
    count = _read_into([buffer], descriptor, offset)
    if count is None:
        return None
    return bytes(buffer[:count]) if count < length else bytes(buffer)


def is_cached(descriptor: int, offset: int, length: int, scratch: bytearray) -> bool:
    """Decide whether every byte of a part of a file can be read without the disk.

    Args:
        descriptor: an open file.
        offset: where the part begins, in bytes.
        length: its length, in bytes, which the file has.
        scratch: what is read goes there, again and again.

    Returns:
        Whether it can.

    Raises:
        OSError: the file can't be read.
    """
    buffers: list[bytearray | memoryview] = [scratch] * (length // len(scratch))
    if length % len(scratch):
        buffers.append(memoryview(scratch)[: length % len(scratch)])
    return not buffers or _read_into(buffers, descriptor, offset) == length


def can_tell(descriptor: int) -> bool:
    """Find out whether a file's system can say whether a read would wait.

    Args:
        descriptor: an open file.

    Returns:
        Whether it can.
    """
    try:
        os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except (AttributeError, OSError):
        return False
    return True


def _read_into(
    buffers: "list[bytearray] | list[bytearray | memoryview]", descriptor: int, offset: int
) -> int | None:
    try:
        return os.preadv(descriptor, buffers, offset, os.RWF_NOWAIT)
    except (BlockingIOError, AttributeError):
        return None
    except OSError as error:
        if error.errno in _CANNOT_TELL:
            return None
        raise
