"""Opening a file only if the kernel has its path and its status in memory.

`openat2` with ``RESOLVE_CACHED`` (Linux 5.12, openat2(2)) fails at once where looking up
the path would need a disk. That is all it promises: a network share or FUSE would still be
asked to open the file. So it may only be used for files of a file system that is known to be
on a disk of this machine, where opening does nothing but look up the path.
"""

import ctypes
import os
import sys

# The same for all processors.
_SYS_OPENAT2 = 437
_AT_FDCWD = -100
_RESOLVE_CACHED = 0x20


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class CachedOpener:
    """Opens files whose paths are in memory.

    Args:
        flags: see `os.open`.
    """

    def __init__(self, flags: int) -> None:
        self._syscall = None
        if sys.platform == "linux":
            how = _How(flags, 0, _RESOLVE_CACHED)
            self._how = ctypes.byref(how)
            self._how_bytes = ctypes.c_size_t(ctypes.sizeof(how))
            self._number, self._here = ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(_AT_FDCWD)
            self._syscall = ctypes.CDLL(None).syscall

    def open(self, path: str) -> int | None:
        """Open a file, if that takes no disk.

        Args:
            path: the file's absolute path.

        Returns:
            A descriptor, which the caller closes; None if the file has to be opened in a
            thread, or can't be opened at all.
        """
        if self._syscall is None:
            return None
        descriptor = int(
            self._syscall(self._number, self._here, os.fsencode(path), self._how, self._how_bytes)
        )
        return descriptor if descriptor >= 0 else None
