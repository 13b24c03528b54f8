"""One open file: what of it can be sent at once, and whether it is still the same.

How it works. Where the file system can say what is in the page cache (see
`otaserver.disk.nowait_read`), the reactor's thread reads what is there. Everything else
is read in a thread.

Why it is safe. Its status is compared by whoever sends a part of it. If only the change
time differs, the content may still be the same (a backup has linked to the file) or not (it
was rewritten, and got its old modification time back), so a thread hashes the file before
any more of it is sent.

The kernel's `sendfile` can't be told not to wait, so all of what it is to send must be in
the page cache. That was looked up at most `KEPT_S` ago, both ends are looked at each time,
and nothing is looked up while the disk is known to hang. If the disk begins to hang, and the
kernel drops some of these pages but not those at the ends, both within that time, the
reactor's thread would wait.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred

from otaserver.catalogue.hashing import hash_open_file
from otaserver.catalogue.model import File
from otaserver.clock import Clock
from otaserver.disk.disk import Disk
from otaserver.disk.nowait_read import is_cached, read_if_cached

# How long a file is kept open after it was opened, and what is known of the page cache is
# trusted. Until then its disk can't be unmounted, nor its space be used again if it is deleted.
KEPT_S = 3.0

# What is known of the page cache is known in blocks of this size.
_BLOCK_BYTES = 1 << 18


class Opener(Protocol):
    """What has opened a file: see `otaserver.disk.open_files.OpenFiles`.

    Attributes:
        disk: does what may wait.
        clock: says how long something has been known.
        scratch: memory to read into what nobody wants to see.
    """

    disk: Disk
    clock: Clock
    scratch: bytearray

    def close(self, opened: "OpenFile") -> None:
        """Close a file that nobody holds any more.

        Args:
            opened: the file.
        """

    def run(self, opened: "OpenFile", do: Callable[[], Any]) -> "Deferred[Any]":
        """Do something with an open file in a thread, until whose end it stays open.

        Args:
            opened: the file.
            do: does it.

        Returns:
            See `Disk.run`.
        """


class Opening(NamedTuple):
    """How a file was opened.

    Attributes:
        descriptor: its descriptor.
        can_tell: whether its file system can say what is in the page cache.
        ctime_ns: the change time that its content is known for, in nanoseconds since 1970.
    """

    descriptor: int
    can_tell: bool
    ctime_ns: int


class OpenFile:
    """A file that is open until everybody who holds it has released it.

    Args:
        file: the file.
        opening: how it was opened.
        files: what opened it, and closes it.

    Attributes:
        file: the file.
        path: its path below the root.
        descriptor: its descriptor.
        can_tell: whether its file system can say what is in the page cache; if not, only
            `read` may be used.
    """

    __slots__ = (
        "_cached",
        "_cached_since_s",
        "_ctime_ns",
        "_files",
        "_holders",
        "_stamp",
        "can_tell",
        "descriptor",
        "file",
        "path",
    )

    def __init__(self, file: File, opening: Opening, files: "Opener") -> None:
        self.file = file
        # Kept here too: a `File` unpacks them each time.
        self.path = file.path
        self._stamp = file.stamp
        self.descriptor, self.can_tell, self._ctime_ns = opening
        self._files = files
        self._holders = 1
        # Made when it is needed: a small file needs none.
        self._cached: set[int] | None = None
        self._cached_since_s = 0.0

    def hold(self) -> None:
        """Keep it open until `release` is called once more."""
        self._holders += 1

    def release(self) -> None:
        """Close it, if nobody else holds it."""
        self._holders -= 1
        if not self._holders:
            self._files.close(self)

    def is_unchanged(self) -> bool:
        """Compare its times and its size with what they were when its content was known.

        Returns:
            Whether nothing has changed. If not, `read` can tell whether the content has.

        Raises:
            OSError: the disk has failed.
        """
        status = os.fstat(self.descriptor)
        return status.st_ctime_ns == self._ctime_ns and self._stamp.fits(status)

    def _is_same(self) -> bool:
        """Find out, in a thread, whether the content is still the same."""
        if self.is_unchanged():
            return True
        ctime_ns = confirmed_ctime_ns(self.descriptor, self.file)
        if ctime_ns is not None:
            self._ctime_ns = ctime_ns
        return ctime_ns is not None

    def read_at_hand(self, offset: int, size_bytes: int) -> bytes | None:
        """Read a part, if that doesn't take the disk.

        Args:
            offset: where it begins, in bytes.
            size_bytes: its length.

        Returns:
            What was read, which may be less; None if only `read` can.

        Raises:
            OSError: the disk has failed.
        """
        return read_if_cached(self.descriptor, offset, size_bytes) if self.can_tell else None

    def is_at_hand(self, offset: int, size_bytes: int) -> bool:
        """Find out whether all of a part is in the page cache, or was a moment ago.

        Args:
            offset: where it begins, in bytes.
            size_bytes: its length.

        Returns:
            Whether it is.

        Raises:
            OSError: the disk has failed.
        """
        if not self.can_tell:
            return False
        now_s = self._files.clock.seconds()
        if self._cached is None or now_s - self._cached_since_s >= KEPT_S:
            self._cached = set()
            self._cached_since_s = now_s
        first, end = offset // _BLOCK_BYTES, -(-(offset + size_bytes) // _BLOCK_BYTES)
        if self._cached.issuperset(range(first, end)):
            # Mostly, all of a file is dropped, or none of it.
            last = offset + size_bytes - 1
            if all(read_if_cached(self.descriptor, byte, 1) for byte in (offset, last)):
                return True
            self._cached.clear()
        start = first * _BLOCK_BYTES
        length = min(end * _BLOCK_BYTES, self.file.size_bytes) - start
        if not (
            self._files.disk.answers
            and is_cached(self.descriptor, start, length, self._files.scratch)
        ):
            return False
        self._cached.update(range(first, end))
        return True

    def read(self, offset: int, size_bytes: int) -> "Deferred[tuple[bytes, bool]]":
        """Read a part, in a thread.

        Args:
            offset: where it begins, in bytes.
            size_bytes: its length.

        Returns:
            Fires with what was read, which may be less, and whether the file is still the same.
            Fails with OSError if the disk fails, and with
            `otaserver.disk.disk.DiskBusy` if it doesn't answer.

        Raises:
            DiskBusy: too many wait for the disk.
        """

        def do() -> tuple[bytes, bool]:
            # Read first: what was read from an unchanged file is what the stamp stands for.
            return os.pread(self.descriptor, size_bytes, offset), self._is_same()

        return self._files.run(self, do)


def confirmed_ctime_ns(descriptor: int, file: File) -> int | None:
    """Hash a file whose metadata has changed.

    Args:
        descriptor: the file, opened.
        file: what the catalogue says of it.

    Returns:
        The change time that its content is known for; None if it is another content.
    """
    before = os.fstat(descriptor)
    if not file.stamp.fits(before):
        return None
    hashes = hash_open_file(descriptor, file.size_bytes, _never_cancelled)
    is_same = hashes.sha256 == file.sha256
    # What is written while it is read changes the time.
    is_still = os.fstat(descriptor).st_ctime_ns == before.st_ctime_ns
    return before.st_ctime_ns if is_same and is_still else None


def _never_cancelled() -> None:
    pass
