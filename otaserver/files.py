"""Opening the files of the tree, and telling whether one is still the same."""

import os
import stat

from otaserver.catalogue import Stamp
from otaserver.errors import OTAServerError

# A name may have become a FIFO or a terminal since it was listed: opening it
# must neither wait nor take it as a controlling terminal.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class FileChanged(OTAServerError):
    """A file is not, or no longer, what the catalogue says of it."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Take from a file's status what tells one content from another."""
    return Stamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def open_stamped(path: str, stamp: Stamp) -> int:
    """Open a file for reading if it is still the same one.

    Args:
        path: the file.
        stamp: what it looked like when it was listed.

    Returns:
        A file descriptor, which the caller closes.

    Raises:
        FileChanged: it is another file, or its content may be another.
        OSError: it can't be opened.
    """
    descriptor = os.open(path, _OPEN_FLAGS)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and stamp_of(status) == stamp:
        return descriptor
    os.close(descriptor)
    raise FileChanged(f"{path} is not what it was when it was listed")
