"""Files that are opened in a thread, and kept open for a while."""

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from otaserver.catalogue.stamps import FileChanged, FileRemoved
from otaserver.disk.cached_open import CachedOpener
from otaserver.disk.disk import DiskBusy
from otaserver.disk.open_file import KEPT_S, OpenFile
from otaserver.disk.open_files import OpenFiles
from tests.conftest import open_descriptors
from tests.support.trees import files_of, rewrite, scanned, write_tree
from tests.support.worker import LateWorker

CONTENT = os.urandom(3 << 18)


class Opening:
    """A tree of some files, and whoever asks for them."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = write_tree(root, {f"{name}.bin": CONTENT for name in "abc"})
        self.clock = Clock()
        self.clock.advance(1000)
        self.worker = LateWorker()
        self.files: OpenFiles = files_of(root, self.worker, self.clock, **options)
        self.before = open_descriptors()
        catalogue = scanned(root)
        self.entries = {name: catalogue.root.files[f"{name}.bin"] for name in "abc"}

    def ask(self, name: str = "a", told: "list[Any] | None" = None) -> list[Any]:
        told = [] if told is None else told
        opened = self.files.get(self.entries[name])
        if isinstance(opened, Deferred):
            opened.addCallbacks(told.append, lambda failure: told.append(failure.type))
        else:
            told.append(opened)
        return told

    def opened(self, name: str = "a") -> OpenFile:
        told = self.ask(name)
        while self.worker.waiting:
            self.worker.work()
        (opened,) = told
        assert isinstance(opened, OpenFile)
        return opened

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.worker.work()


@pytest.fixture
def opening(root: Path) -> Opening:
    return Opening(root)


def can_not_tell(*_: object) -> int:
    raise OSError(95, "Operation not supported")


def test_a_file_is_opened_in_a_thread_once_for_all_who_ask(opening: Opening) -> None:
    told = opening.ask(told=opening.ask())
    assert told == []
    assert len(opening.worker.waiting) == 1
    opening.worker.work()
    first, second = told
    assert first is second
    assert os.pread(first.descriptor, 10, 5) == CONTENT[5:15]


def test_what_was_opened_lately_is_at_hand(opening: Opening) -> None:
    first = opening.opened()
    first.release()
    assert opening.ask() == [first]
    assert opening.worker.waiting == []


def test_where_opening_waits_for_no_disk_no_thread_is_asked(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening.opened("a")
    (at_once,) = opening.ask("b")
    assert os.pread(at_once.descriptor, 10, 5) == CONTENT[5:15]
    monkeypatch.setattr(CachedOpener, "open", lambda *_: None)
    assert opening.ask("c") == []
    assert len(opening.worker.waiting) == 1


def test_it_is_closed_when_it_is_old_and_nobody_reads_it(opening: Opening) -> None:
    opened = opening.opened()
    opening.pass_s(KEPT_S + 1)
    assert open_descriptors() == opening.before + 1, "somebody holds it"
    assert opening.opened() is not opened
    opened.release()
    assert open_descriptors() == opening.before + 1
    opening.pass_s(KEPT_S + 1)
    assert opening.clock.getDelayedCalls() == []


def test_no_more_are_kept_than_allowed(root: Path) -> None:
    opening = Opening(root, max_kept=2)
    for name in "abc":
        opening.opened(name).release()
    assert open_descriptors() == opening.before + 2


def test_a_file_that_has_changed_is_opened_anew_and_refused(opening: Opening) -> None:
    opening.opened().release()
    rewrite(opening.root / "a.bin", b"other")
    told = opening.ask()
    opening.worker.work()
    assert told == [FileChanged]
    os.unlink(opening.root / "b.bin")
    told = opening.ask("b")
    opening.worker.work()
    assert told == [FileRemoved]
    assert open_descriptors() == opening.before


def test_one_that_is_deleted_is_closed_in_a_thread_because_that_frees_its_space(
    opening: Opening,
) -> None:
    opening.opened().release()
    os.unlink(opening.root / "a.bin")
    opening.ask()
    assert open_descriptors() == opening.before + 1
    opening.worker.work()
    assert open_descriptors() == opening.before


def test_a_new_file_in_its_place_is_opened(opening: Opening) -> None:
    opening.opened().release()
    (opening.root / "new").write_bytes(b"new")
    (opening.root / "new").rename(opening.root / "a.bin")
    opening.entries["a"] = scanned(opening.root).root.files["a.bin"]
    assert os.pread(opening.opened().descriptor, 10, 0) == b"new"


def test_who_asks_too_long_is_told_so_and_the_file_is_closed(opening: Opening) -> None:
    told = opening.ask(told=opening.ask())
    for _ in range(30):
        opening.clock.advance(1)
    assert told == [DiskBusy, DiskBusy]
    opening.worker.work()
    opening.worker.work()
    assert open_descriptors() == opening.before


def test_no_more_may_wait_than_allowed_for_one_file_either(root: Path) -> None:
    opening = Opening(root, max_waiting=3)
    told: list[Any] = []
    for _ in range(3):
        opening.ask(told=told)
    for name in "ab":
        with pytest.raises(DiskBusy):
            opening.ask(name) if name == "a" else opening.files.disk.check_room(2)
    opening.worker.work()
    assert len(told) == 3


def test_where_nobody_can_tell_nothing_is_kept_or_read_or_closed_at_once(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.preadv", can_not_tell)
    opened = opening.opened()
    assert opened.read_at_hand(0, 10) is None
    assert not opened.is_at_hand(0, 10)
    told: list[Any] = []
    opened.read(5, 10).addCallback(told.append)
    opened.release()
    assert told == []
    opening.worker.work()
    assert told == [(CONTENT[5:15], True)]
    assert open_descriptors() == opening.before + 1
    opening.worker.work()
    assert open_descriptors() == opening.before
    assert opening.opened() is not opened


def test_a_read_that_takes_too_long_keeps_the_file_open_until_it_ends(opening: Opening) -> None:
    opened = opening.opened()
    told: list[Any] = []
    opened.read(0, 10).addErrback(lambda failure: told.append(failure.type))
    opened.release()
    for _ in range(30):
        opening.clock.advance(1)
    assert told == [DiskBusy]
    assert open_descriptors() == opening.before + 1
    opening.worker.work()
    assert open_descriptors() == opening.before


class TestThePageCache:
    """`sendfile` may be given only what is there."""

    def test_every_byte_counts(self, opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = opening.opened()
        real = os.preadv

        def hole_in_the_middle(
            descriptor: int, buffers: list[bytearray], offset: int, flags: int
        ) -> int:
            return min(real(descriptor, buffers, offset, flags), len(CONTENT) // 2 - offset)

        monkeypatch.setattr("os.preadv", hole_in_the_middle)
        assert not opened.is_at_hand(0, len(CONTENT))
        assert opened.is_at_hand(0, 1000)
        assert not opened.is_at_hand(len(CONTENT) // 2, 1000)

    def test_it_is_asked_once_in_a_while(
        self, opening: Opening, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = opening.opened()
        assert opened.is_at_hand(100, len(CONTENT) - 100)
        monkeypatch.setattr("otaserver.disk.open_file.is_cached", lambda *_: False)
        assert opened.is_at_hand(0, len(CONTENT))
        opening.clock.advance(KEPT_S)
        assert not opened.is_at_hand(0, len(CONTENT))

    def test_nobody_asks_a_disk_that_hangs(self, opening: Opening) -> None:
        opened = opening.opened()
        opening.files.disk.run("b", int, print)
        opening.clock.advance(2)
        assert not opened.is_at_hand(0, 10)
        opening.worker.work()
        assert opened.is_at_hand(0, 10)
