"""Detecting whether a file is still the one that was scanned, without reading it.

A `Stamp` is taken when a scan sees a file. Every later use opens the file and compares
the status of the open descriptor with the stamp. Because the descriptor keeps referring to
the same file, no rename or replacement between the check and the use can substitute another.

A file is the same as long as its size and modification time are, and its inode number where
the file system keeps such numbers. Its change time (``ctime``) can't be set by ordinary means,
so it also gives away a file that was rewritten in place and got its old modification time
back. But a backup that links to files, or a change of their modes, alters it as well: so
another change time is a reason to read the file again, and none to refuse it meanwhile.
"""

import os
import stat
import struct
from typing import NamedTuple

from otaserver.errors import OTAServerError

# The path may have become a FIFO or a terminal since it was scanned: opening it must
# neither block nor make it the controlling terminal.
OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

# No file has this number.
_NO_INODE = 0

_NS_PER_S = 1_000_000_000

# File systems with seconds of 64 bits have times beyond 64 bits of nanoseconds.
_PACKED = struct.Struct("<QQqIqI")
PACKED_BYTES = _PACKED.size


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


class FileAway(FileChanged):
    """A file that is in the catalogue is missing, together with what it was in."""

    def __init__(self) -> None:
        super().__init__("The file is not there at the moment; try again.")


class Stamp(NamedTuple):
    """Identifies a file and its content without reading it.

    Attributes:
        inode: its inode number; 0 on a file system that keeps none.
        size_bytes: its size, in bytes.
        mtime_ns: when its content last changed, in nanoseconds since 1970.
        ctime_ns: when its content or metadata last changed, in nanoseconds since 1970.
    """

    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    def fits(self, status: os.stat_result) -> bool:
        """Tell whether a file is still the same.

        Args:
            status: the file's status, as `os.fstat` returns it.

        Returns:
            Whether it is, even if its metadata has changed.
        """
        return (
            stat.S_ISREG(status.st_mode)
            and self.inode in (_NO_INODE, status.st_ino)
            and self.size_bytes == status.st_size
            and self.mtime_ns == status.st_mtime_ns
        )

    def fits_exactly(self, status: os.stat_result) -> bool:
        """Tell whether a file and its metadata are still the same.

        Args:
            status: the file's status, as `os.fstat` returns it.

        Returns:
            Whether they are.
        """
        return self.fits(status) and self.ctime_ns == status.st_ctime_ns

    def packed(self) -> bytes:
        """Write the stamp down.

        Returns:
            `PACKED_BYTES` bytes, the same for equal stamps, and different for others.
        """
        return _PACKED.pack(
            self.inode,
            self.size_bytes,
            *divmod(self.mtime_ns, _NS_PER_S),
            *divmod(self.ctime_ns, _NS_PER_S),
        )

    @classmethod
    def unpacked(cls, packed: bytes) -> "Stamp":
        """Read a stamp that was written down.

        Args:
            packed: what `packed` returned, and anything behind it.

        Returns:
            The stamp.
        """
        inode, size_bytes, mtime_s, mtime_ns, ctime_s, ctime_ns = _PACKED.unpack_from(packed)
        return cls(
            inode, size_bytes, mtime_s * _NS_PER_S + mtime_ns, ctime_s * _NS_PER_S + ctime_ns
        )


def stamp_of(status: os.stat_result, keeps_inodes: bool = True) -> Stamp:
    """Make the stamp of a file from its status.

    Args:
        status: the file's status, as `os.stat` returns it.
        keeps_inodes: whether its file system keeps inode numbers.

    Returns:
        The stamp.
    """
    inode = status.st_ino if keeps_inodes else _NO_INODE
    return Stamp(inode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def open_stamped(path: str, stamp: Stamp, root: str | None = None) -> int:
    """Open a file for reading, if it is still the same.

    Args:
        path: the file's absolute path.
        stamp: its stamp when it was scanned.
        root: the release tree's folder, to tell what was removed from what is away; None
            to take everything that is missing for removed.

    Returns:
        A file descriptor, which the caller must close.

    Raises:
        FileRemoved: the file no longer exists.
        FileAway: it doesn't, and nor does the tree, as if its disk were pulled out.
        FileChanged: it is a different file, or its content may have changed.
        OSError: the file can't be opened.
    """
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except FileNotFoundError as error:
        is_away = root is not None and _is_away(path, root)
        raise (FileAway if is_away else FileRemoved) from error
    if stamp.fits(os.fstat(descriptor)):
        return descriptor
    os.close(descriptor)
    raise FileChanged


def _is_away(path: str, root: str) -> bool:
    """Tell whether the innermost folder of a path that exists is empty, or above the root."""
    folder = os.path.dirname(path)
    while len(folder) >= len(root):
        try:
            with os.scandir(folder) as entries:
                return next(entries, None) is None
        except OSError:
            folder = os.path.dirname(folder)
    return True
