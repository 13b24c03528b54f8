"""The files of the release tree that are open, for everybody who wants to read them.

How it works. Opening a file can wait for the disk, so `Disk` does it in a thread, unless the
kernel says that it need not wait (see `otaserver.disk.cached_open`). What has been opened is
kept for a while, and handed to everybody who asks for the file meanwhile: then nothing has
to be opened at all. All reads name their offset, so many can share a descriptor.

Why it is safe. The status of an open file is compared each time that the file is handed out,
and by whoever sends it. A file is kept only where that never waits: on a file system that can
say what is in the page cache. On all others, everything is done in threads.
"""

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from otaserver.catalogue.model import File
from otaserver.catalogue.stamps import OPEN_FLAGS, FileChanged, Stamp, open_stamped
from otaserver.clock import Clock
from otaserver.disk.cached_open import CachedOpener
from otaserver.disk.disk import Disk, DiskBusy
from otaserver.disk.nowait_read import can_tell
from otaserver.disk.open_file import KEPT_S, OpenFile, Opening, confirmed_ctime_ns

# Files are closed in batches: so much later, at most.
_SWEEP_S = 0.5

_MAX_CONFIRMED = 4096
_MAX_LOCAL_FOLDERS = 4096

_SCRATCH_BYTES = 1 << 16


class OpenFiles:
    """Opens files, and keeps them for a while.

    Args:
        root: the release tree's folder, as an absolute path.
        disk: does what may wait.
        clock: says how long a file has been kept.
        max_kept: how many files are kept that nobody reads.

    Attributes:
        disk: does what may wait.
        clock: says how long a file has been kept.
        scratch: memory to read into what nobody wants to see.
    """

    def __init__(self, root: str, disk: Disk, clock: Clock, max_kept: int) -> None:
        self.disk = disk
        self.clock = clock
        self.scratch = bytearray(_SCRATCH_BYTES)
        self._root = root
        self._max_kept = max_kept
        # In the order in which they were opened.
        self._kept: dict[str, tuple[OpenFile, float]] = {}
        self._opening: dict[File, list[Deferred[OpenFile]]] = {}
        # By path: the change times that files have got without another content, so that
        # none is hashed again and again until the next scan. The latest come last.
        self._confirmed: dict[str, tuple[Stamp, int]] = {}
        self._waiting = 0
        self._opener = CachedOpener(OPEN_FLAGS)
        # Folders whose file system can say what is in the page cache.
        self._local_folders: set[str] = set()
        self._is_sweeping = False

    def get(self, file: File) -> "OpenFile | Deferred[OpenFile]":
        """Hand out a file, opened now or before.

        Args:
            file: the file.

        Returns:
            The open file, which the caller releases, or a Deferred that fires with it. It fails as
            `open_stamped` does, or with `otaserver.disk.disk.DiskBusy`.

        Raises:
            DiskBusy: too many wait for the disk.
            OSError: the disk has failed.
        """
        kept, _ = self._kept.get(file.path, (None, 0.0))
        if kept is not None:
            if kept.file == file and kept.is_unchanged():
                kept.hold()
                return kept
            self._drop(file.path)
        return self._open_at_once(file) or self._open(file)

    def close(self, opened: OpenFile) -> None:
        """Close a file that nobody holds any more.

        Args:
            opened: the file.
        """
        # On other file systems even this waits, and so does freeing a deleted file's space.
        if opened.can_tell and os.fstat(opened.descriptor).st_nlink:
            os.close(opened.descriptor)
        else:
            self.disk.run_unwatched(opened.path, lambda: os.close(opened.descriptor))

    def run(self, opened: OpenFile, do: Callable[[], Any]) -> "Deferred[Any]":
        """Do something with an open file in a thread, until whose end it stays open.

        Args:
            opened: the file.
            do: does it.

        Returns:
            See `Disk.run`.

        Raises:
            DiskBusy: see `Disk.run`.
        """
        running = self.disk.run(opened.path, do, lambda _: opened.release())
        opened.hold()

        def release(result: Any) -> Any:
            # If it still runs, it is released late.
            if not (isinstance(result, Failure) and result.check(DiskBusy)):
                opened.release()
            return result

        return running.addBoth(release)

    def _open_at_once(self, file: File) -> OpenFile | None:
        """Open a file, if that is known not to wait for the disk."""
        folder = file.path.rpartition("/")[0]
        if folder not in self._local_folders:
            return None
        descriptor = self._opener.open(f"{self._root}/{file.path}")
        if descriptor is None:
            return None
        opened = OpenFile(file, Opening(descriptor, True, self._known_ctime_ns(file)), self)
        if not opened.is_unchanged():
            # Another file, or even another disk: a thread finds out.
            self._local_folders.discard(folder)
            opened.release()
            return None
        self._keep(opened)
        return opened

    def _open(self, file: File) -> "Deferred[OpenFile]":
        answer: Deferred[OpenFile] = Deferred()
        waiting = self._opening.get(file)
        if waiting is not None:
            self.disk.check_room(self._waiting)
            self._waiting += 1
            waiting.append(answer)
            return answer

        known_ctime_ns = self._known_ctime_ns(file)

        def do() -> Opening:
            return _open_and_probe(self._root, file, known_ctime_ns)

        def late(opening: Opening | None) -> None:
            if opening is not None:
                self.disk.run_unwatched(file.path, lambda: os.close(opening.descriptor))

        opening = self.disk.run(file.path, do, late)
        self._opening[file] = [answer]
        opening.addBoth(self._opened, file)
        return answer

    def _opened(self, result: "Opening | Failure", file: File) -> None:
        waiting = self._opening.pop(file)
        self._waiting -= len(waiting) - 1
        if isinstance(result, Failure):
            for answer in waiting:
                answer.errback(result)
            return
        self._confirm(file, result.ctime_ns)
        opened = OpenFile(file, result, self)
        if opened.can_tell:
            if len(self._local_folders) >= _MAX_LOCAL_FOLDERS:
                self._local_folders.clear()
            self._local_folders.add(file.path.rpartition("/")[0])
            self._keep(opened)
        for answer in waiting:
            opened.hold()
            answer.callback(opened)
        opened.release()

    def _known_ctime_ns(self, file: File) -> int:
        """The change time that the content of a file is known for."""
        stamp = file.stamp
        confirmed, ctime_ns = self._confirmed.get(file.path, (stamp, stamp.ctime_ns))
        return ctime_ns if confirmed == stamp else stamp.ctime_ns

    def _confirm(self, file: File, ctime_ns: int) -> None:
        """Remember a change time that has nothing to do with the content."""
        self._confirmed.pop(file.path, None)
        if ctime_ns != file.stamp.ctime_ns:
            self._confirmed[file.path] = (file.stamp, ctime_ns)
            if len(self._confirmed) > _MAX_CONFIRMED:
                del self._confirmed[next(iter(self._confirmed))]

    def _keep(self, opened: OpenFile) -> None:
        self._drop(opened.path)
        # The oldest go soon enough; taking turns with them would gain nothing.
        if len(self._kept) >= self._max_kept:
            return
        opened.hold()
        self._kept[opened.path] = (opened, self.clock.seconds())
        self._sweep_later()

    def _drop(self, path: str) -> None:
        opened, _ = self._kept.pop(path, (None, 0.0))
        if opened is not None:
            opened.release()

    def _sweep_later(self) -> None:
        if not self._is_sweeping:
            self._is_sweeping = True
            self.clock.callLater(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Drop what has been kept for long enough."""
        self._is_sweeping = False
        now_s = self.clock.seconds()
        for path, (_, opened_s) in list(self._kept.items()):
            if now_s - opened_s < KEPT_S:
                break
            self._drop(path)
        if self._kept:
            self._sweep_later()


def _open_and_probe(root: str, file: File, known_ctime_ns: int) -> Opening:
    """Open a file, and find out whether its file system can say what is cached."""
    descriptor = open_stamped(f"{root}/{file.path}", file.stamp, root)
    try:
        ctime_ns: int | None = os.fstat(descriptor).st_ctime_ns
        if ctime_ns != known_ctime_ns:
            ctime_ns = confirmed_ctime_ns(descriptor, file)
        if ctime_ns is None:
            raise FileChanged
        # This reads a byte, if it is cached. The first read of a day writes the time of access,
        # which may wait: from now on, none in the reactor's thread does.
        return Opening(descriptor, can_tell(descriptor), ctime_ns)
    except BaseException:
        os.close(descriptor)
        raise
