"""Telling whether a file is still the one that was seen, without reading it.

A `Stamp` is taken when a scan sees a file. Every later use of the file opens it,
takes the stamp of the open descriptor, and compares: because the descriptor is
fixed from then on, no rename or replacement between the check and the use can slip
another file in. The change time (``ctime``) is part of the stamp and can't be set
by ordinary means, so a file rewritten in place, with its old length and
modification time, differs as well.
"""

import os
import stat
from typing import NamedTuple

from otaserver.errors import OTAServerError

# A name may have become a FIFO or a terminal since it was listed: opening it
# must neither block nor acquire it as a controlling terminal.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class FileChanged(OTAServerError):
    """A file is not, or no longer, what the catalogue says it is.

    Args:
        sentence: what to tell the client.
    """

    def __init__(self, sentence: str = "The file is being changed; try again.") -> None:
        super().__init__(sentence)


class FileRemoved(FileChanged):
    """A file in the catalogue is no longer on disk."""

    def __init__(self) -> None:
        super().__init__("The file was removed.")


class Stamp(NamedTuple):
    """What distinguishes one content of a file from another without reading it.

    Attributes:
        device, inode: which file it is.
        size_bytes: its length.
        mtime_ns, ctime_ns: when its content, and anything about it, last
            changed, in nanoseconds since 1970.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


def stamp_of(status: os.stat_result) -> Stamp:
    """Take a file's stamp.

    Args:
        status: the file's status, as `os.stat` returns it.

    Returns:
        The stamp.
    """
    return Stamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def open_stamped(path: str, stamp: Stamp) -> int:
    """Open a file for reading if it is still the same one.

    Args:
        path: the file.
        stamp: its stamp when it was listed.

    Returns:
        A file descriptor, which the caller closes.

    Raises:
        FileRemoved: there is no file of this name any more.
        FileChanged: it is another file, or its content may have changed.
        OSError: it can't be opened.
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
