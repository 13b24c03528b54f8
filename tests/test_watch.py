import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from otaserver.catalogue.first_offers import FirstOffers
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.scan import ScanCancelled
from otaserver.catalogue.state_database import StateError
from otaserver.watch import CatalogueWatch
from tests.catalogue.finding import tree_at, version_of
from tests.support.trees import rewrite, write_tree
from tests.support.worker import ImmediateWorker, LateWorker


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    observer: Any = events.append
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


def errors(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["log_level"].name in ("error", "critical")]


def watching(root: Path, **options: Any) -> tuple[CatalogueWatch, Clock]:
    clock = options.pop("clock", None) or Clock()
    values: dict[str, Any] = {
        "clock": clock,
        "worker": ImmediateWorker(),
        "open_hashes": lambda: HashStore(":memory:"),
        "open_first_offers": lambda: FirstOffers(":memory:"),
        "root": str(root),
        "settle_s": 0,
        "poll_s": 2,
    } | options
    return CatalogueWatch(**values), clock


def newest(watch: CatalogueWatch) -> "str | None":
    assert watch.catalogue is not None
    return version_of(tree_at(watch.catalogue).newest_release)


def test_the_first_picture_is_there_as_soon_as_it_is_taken(small_tree: Path) -> None:
    watch, _ = watching(small_tree)
    assert watch.catalogue is None
    watch.startService()
    assert newest(watch) == "1.0.1"


def test_a_change_is_noticed_at_the_next_look(small_tree: Path) -> None:
    watch, clock = watching(small_tree)
    calls: list[str | None] = []
    watch.on_change(lambda: calls.append(newest(watch)))
    watch.startService()
    write_tree(small_tree, {"2.0/flash/main.py": b""})
    clock.advance(1.9)
    assert newest(watch) == "1.0.1"
    clock.advance(0.2)
    assert newest(watch) == "2.0"
    assert calls == ["1.0.1", "2.0"]


def test_it_looks_at_once_when_told_to(small_tree: Path) -> None:
    watch, clock = watching(small_tree)
    watch.startService()
    write_tree(small_tree, {"2.0/flash/main.py": b""})
    watch.scan_now()
    assert newest(watch) == "2.0"
    assert len(clock.getDelayedCalls()) == 1, "and then as often as before"
    watch.stopService()
    watch.scan_now()
    assert clock.getDelayedCalls() == []


def test_told_during_a_look_it_looks_once_more_right_after(small_tree: Path) -> None:
    worker = LateWorker()
    watch, clock = watching(small_tree, worker=worker)
    watch.startService()
    watch.scan_now()
    watch.scan_now()
    worker.work()
    assert worker.waiting == []
    clock.advance(0)
    assert len(worker.waiting) == 1
    worker.work()
    clock.advance(1.9)
    assert worker.waiting == []


def test_without_a_change_nobody_is_told_and_the_picture_stays(small_tree: Path) -> None:
    watch, clock = watching(small_tree)
    calls: list[int] = []
    watch.on_change(lambda: calls.append(1))
    watch.startService()
    first = watch.catalogue
    for _ in range(10):
        clock.advance(2.1)
    assert watch.catalogue is first
    assert len(calls) == 1


def test_a_root_that_goes_away_is_reported_once_and_the_picture_kept(
    small_tree: Path, tmp_path: Path, logged: list[dict[str, Any]]
) -> None:
    watch, clock = watching(small_tree)
    watch.startService()
    away = tmp_path / "away"
    for _ in range(2):
        small_tree.rename(away)
        for _ in range(5):
            clock.advance(2.1)
        assert newest(watch) == "1.0.1"
        away.rename(small_tree)
        clock.advance(2.1)
    assert len(errors(logged)) == 2
    assert "can't read the release tree" in errors(logged)[0]["error"]
    write_tree(small_tree, {"2.0/flash/main.py": b""})
    clock.advance(2.1)
    assert newest(watch) == "2.0"


def test_a_problem_is_said_once_and_when_it_is_mended_and_when_it_comes_back(
    small_tree: Path, logged: list[dict[str, Any]]
) -> None:
    watch, clock = watching(small_tree)
    watch.startService()
    link = small_tree / "link"
    for number in range(2):
        link.symlink_to("/etc/passwd")
        for _ in range(3):
            clock.advance(2.1)
        rewrite(small_tree / "1.0.0/flash/main.py", b"%d" % number)
        clock.advance(2.1)
        link.unlink()
        clock.advance(2.1)
    said = [
        (event["log_level"].name, formatEvent(event))
        for event in logged
        if event.get("problem", "").startswith("link ")
    ]
    wrong = "link is a link to something that is not served, and is left out"
    assert (
        said
        == [
            ("warn", f"{wrong}: copy what it leads to."),
            ("info", f"No longer: {wrong}."),
        ]
        * 2
    )


def test_what_is_offered_is_logged_when_it_changes(
    small_tree: Path, logged: list[dict[str, Any]]
) -> None:
    watch, clock = watching(small_tree)
    watch.startService()
    rewrite(small_tree / "1.0.0/flash/main.py", b"x")
    clock.advance(2.1)
    write_tree(small_tree, {"2.0/flash/a": b"", "p/3.0/flash/a": b""})
    clock.advance(2.1)
    offers = [(event["path"], event["offer"]) for event in logged if "offer" in event]
    assert offers == [
        ("", "release 1.0.1, firmware 1.0.1"),
        ("", "release 2.0, firmware 1.0.1"),
        ("p", "release 3.0, firmware none"),
    ]


def test_releases_may_have_files_in_the_roots_that_are_given(root: Path) -> None:
    write_tree(root, {"1.0/app/main.py": b"", "1.1/flash/main.py": b""})
    watch, _ = watching(root, roots=("app",))
    watch.startService()
    assert newest(watch) == "1.0"


def test_an_unexpected_error_is_logged_and_does_not_end_the_watch(
    small_tree: Path, logged: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, clock = watching(small_tree)
    watch.startService()

    def fail(*_: object) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(watch._scanner, "scan", fail)
    clock.advance(2.1)
    monkeypatch.undo()
    write_tree(small_tree, {"2.0/flash/a": b""})
    clock.advance(2.1)
    assert newest(watch) == "2.0"
    assert len(errors(logged)) == 1


def test_one_scan_runs_at_a_time(small_tree: Path) -> None:
    worker = LateWorker()
    watch, clock = watching(small_tree, worker=worker)
    watch.startService()
    clock.advance(100)
    assert len(worker.waiting) == 1
    worker.work()
    assert newest(watch) == "1.0.1"


def test_a_slow_walk_is_not_repeated_at_once(small_tree: Path) -> None:
    worker = LateWorker()
    watch, clock = watching(small_tree, worker=worker)
    watch.startService()
    worker.work()
    clock.advance(2.1)
    clock.advance(10)
    worker.work()
    clock.advance(199)
    assert worker.waiting == []
    clock.advance(2)
    assert len(worker.waiting) == 1


def test_long_hashing_does_not_put_off_the_next_look(small_tree: Path) -> None:
    worker = LateWorker()
    watch, clock = watching(small_tree, worker=worker)
    watch.startService()
    clock.advance(60)
    worker.work()
    write_tree(small_tree, {"2.0/flash/a": b""})
    clock.advance(2.1)
    worker.work()
    assert newest(watch) == "2.0"


def test_what_has_not_settled_is_looked_at_again_after_the_settle_time(small_tree: Path) -> None:
    watch, clock = watching(small_tree, settle_s=30, poll_s=60)
    watch.startService()
    assert newest(watch) is None
    clock.advance(31)
    assert newest(watch) == "1.0.1"


def test_a_store_that_can_not_be_opened_keeps_the_service_from_starting(small_tree: Path) -> None:
    def refuse() -> HashStore:
        raise StateError("no")

    watch, clock = watching(small_tree, open_hashes=refuse)
    with pytest.raises(StateError):
        watch.startService()
    assert clock.getDelayedCalls() == []


def test_stopping_ends_the_looks_and_closes_the_store(small_tree: Path) -> None:
    closed: list[int] = []

    class Store(HashStore):
        def close(self) -> None:
            closed.append(1)
            super().close()

    watch, clock = watching(small_tree, open_hashes=lambda: Store(":memory:"))
    watch.startService()
    watch.stopService()
    assert closed == [1]
    assert clock.getDelayedCalls() == []


def test_stopping_ends_a_scan_that_runs_and_shows_nothing_of_it(
    small_tree: Path, logged: list[dict[str, Any]]
) -> None:
    worker = LateWorker()
    watch, clock = watching(small_tree, worker=worker)
    watch.startService()
    watch.stopService()
    worker.work()
    assert watch.catalogue is None
    assert clock.getDelayedCalls() == []
    assert errors(logged) == []


def test_a_scan_in_a_thread_is_ended_by_stopping(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashing, ended = threading.Event(), threading.Event()

    def hash_for_ever(path: str, stamp: object, check: Callable[[], None]) -> None:
        hashing.set()
        try:
            while True:
                check()
                time.sleep(0.001)
        except ScanCancelled:
            ended.set()
            raise

    class OneThread(LateWorker):
        def run(self, *args: Any, **kwargs: Any) -> Any:
            result = super().run(*args, **kwargs)
            for work in self.waiting:
                threading.Thread(target=work, daemon=True).start()
            self.waiting = []
            return result

    monkeypatch.setattr("otaserver.catalogue.scan.hash_file", hash_for_ever)
    watch, _ = watching(small_tree, worker=OneThread())
    watch.startService()
    assert hashing.wait(5)
    assert watch.catalogue is None
    monkeypatch.setattr(watch, "_hashes", type("Closed", (), {"close": lambda self: None})())
    watch.stopService()
    assert ended.wait(5)
