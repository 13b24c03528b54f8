"""Reading only what the kernel has in its page cache, so that nobody waits for a disk."""

import errno
import os

# The errors of file systems that can't tell: tmpfs, NFS, FAT and others.
_CANNOT_TELL = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def read_if_cached(descriptor: int, offset: int, length: int) -> bytes | None:
    """Read a part of a file, as far as possible without waiting for the disk.

    Args:
        descriptor: an open file.
        offset: where to begin, in bytes.
        length: how much to read, in bytes.

    Returns:
        What was read, which may be less than asked for; None if reading would wait
        for the disk, or the kernel can't tell (``RWF_NOWAIT``, preadv2(2)).

    Raises:
        OSError: the file can't be read.
    """
    buffer = bytearray(length)
    try:
        count = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except (BlockingIOError, AttributeError):
        return None
    except OSError as error:
        if error.errno in _CANNOT_TELL:
            return None
        raise
    return bytes(buffer[:count]) if count < length else bytes(buffer)


def is_cached(descriptor: int, offset: int, length: int) -> bool:
    """Decide whether a part of a file can be read without the disk, judging by its ends.

    Args:
        descriptor: an open file.
        offset: where the part begins, in bytes.
        length: its length, in bytes.

    Returns:
        Whether it can.
    """
    last = offset + length - 1
    return length == 0 or all(
        read_if_cached(descriptor, position, 1) is not None for position in {offset, last}
    )
