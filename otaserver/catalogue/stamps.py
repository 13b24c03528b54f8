"""Detecting whether a file is still the one that was scanned, without reading it.

A `Stamp` is taken when a scan sees a file. Every later use opens the file and compares
the stamp of the open descriptor. Because the descriptor keeps referring to the same
file, no rename or replacement between the check and the use can substitute another.
The change time (``ctime``) is part of the stamp and can't be set by ordinary means, so
a file that is rewritten in place is detected even if its size and modification time
are the same as before.
"""

import os
import stat
from typing import NamedTuple

from otaserver.errors import OTAServerError

# The path may have become a FIFO or a terminal since it was scanned: opening it must
# neither block nor make it the controlling terminal.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class FileChanged(OTAServerError):
    """A file no longer matches the catalogue.

    Args:
        sentence: the message for the client.
    """

    def __init__(self, sentence: str = "The file is being changed; try again.") -> None:
        super().__init__(sentence)


class FileRemoved(FileChanged):
    """A file that is in the catalogue no longer exists."""

    def __init__(self) -> None:
        super().__init__("The file was removed.")


class Stamp(NamedTuple):
    """Identifies a file and its content without reading it.

    Attributes:
        device: the number of its device.
        inode: its inode number on that device.
        size_bytes: its size, in bytes.
        mtime_ns: when its content last changed, in nanoseconds since 1970.
        ctime_ns: when its content or metadata last changed, in nanoseconds since 1970.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


def stamp_of(status: os.stat_result) -> Stamp:
    """Make the stamp of a file from its status.

    Args:
        status: the file's status, as `os.stat` returns it.

    Returns:
        The stamp.
    """
    return Stamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def open_stamped(path: str, stamp: Stamp) -> int:
    """Open a file for reading, if it still has the same stamp.

    Args:
        path: the file's absolute path.
        stamp: its stamp when it was scanned.

    Returns:
        A file descriptor, which the caller must close.

    Raises:
        FileRemoved: the file no longer exists.
        FileChanged: it is a different file, or its content may have changed.
        OSError: the file can't be opened.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError as error:
        raise FileRemoved from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and stamp_of(status) == stamp:
        return descriptor
    os.close(descriptor)
    raise FileChanged
