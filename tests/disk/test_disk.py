"""Work that may wait for a disk, with threads that the test plays."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from otaserver.disk.disk import MAX_THREADS, Disk, DiskBusy

TIMEOUT_S = 20


class Threads:
    """As many threads as are asked for; each does its work when the test says so."""

    def __init__(self) -> None:
        self.running: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> "Deferred[Any]":
        answer: Deferred[Any] = Deferred()
        self.running.append((work, answer))
        return answer

    def end(self, number: int = 0) -> None:
        work, answer = self.running.pop(number)
        answer.callback(work())


class Asking:
    """A disk, and what became of those who asked."""

    def __init__(self, max_waiting: int = 1000) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.disk = Disk(self.clock, self.threads, TIMEOUT_S, max_waiting)
        self.told: list[object] = []
        self.late: list[object] = []

    def ask(self, file: str, result: object = None) -> None:
        answer = self.disk.run(file, lambda: result, self.late.append)
        answer.addCallbacks(self.told.append, lambda failure: self.told.append(failure.type))

    def hang(self) -> None:
        """Let enough time pass, a little at a time, for all threads to begin."""
        for _ in range(50):
            self.clock.advance(0.01)


def test_a_result_is_told() -> None:
    asking = Asking()
    asking.ask("a", 1)
    asking.threads.end()
    assert asking.told == [1]
    assert asking.late == []


def test_while_the_disk_answers_one_thread_is_enough() -> None:
    asking = Asking()
    for number in range(5):
        asking.ask(f"file {number}", number)
    for _ in range(5):
        assert len(asking.threads.running) == 1
        asking.threads.end()
    assert asking.told == [0, 1, 2, 3, 4]


def test_while_it_hangs_others_begin_up_to_a_limit() -> None:
    asking = Asking()
    for number in range(3 * MAX_THREADS):
        asking.ask(f"file {number}")
    asking.hang()
    assert len(asking.threads.running) == MAX_THREADS


def test_one_file_takes_two_threads_at_most_and_the_others_go_on() -> None:
    asking = Asking()
    for _ in range(20):
        asking.ask("bad sector", "bad")
    asking.ask("other", "other")
    asking.hang()
    assert len(asking.threads.running) == 3
    asking.threads.end(2)
    assert asking.told == ["other"]
    for _ in range(20):
        asking.threads.end()
        asking.hang()
    assert asking.told == ["other", *["bad"] * 20]


def test_who_has_waited_long_enough_is_told_so_and_the_result_is_not_lost() -> None:
    asking = Asking()
    asking.ask("a", "descriptor")
    asking.clock.advance(TIMEOUT_S - 1)
    assert asking.told == []
    asking.clock.advance(2)
    assert asking.told == [DiskBusy]
    assert asking.late == []
    asking.threads.end()
    assert asking.told == [DiskBusy]
    assert asking.late == ["descriptor"]


def test_what_nobody_waits_for_is_not_begun() -> None:
    asking = Asking()
    for number in range(MAX_THREADS + 5):
        asking.ask(f"file {number}", number)
    asking.hang()
    asking.clock.advance(TIMEOUT_S)
    asking.clock.advance(1)
    assert asking.told == [DiskBusy] * (MAX_THREADS + 5)
    assert asking.late == [None] * 5
    for _ in range(MAX_THREADS):
        asking.threads.end()
    assert asking.threads.running == []
    asking.ask("again", "again")
    asking.threads.end()
    assert asking.told[-1] == "again"


def test_what_nobody_waits_for_takes_no_memory_however_long_the_disk_hangs() -> None:
    asking = Asking()
    kept: list[weakref.ref[object]] = []

    class Result:
        pass

    for round_ in range(5):
        for number in range(3 * MAX_THREADS):
            kept.append(weakref.ref(result := Result()))
            asking.ask(f"file {round_} {number}" if number % 2 else "one file", result)
            del result
        asking.hang()
        asking.clock.advance(TIMEOUT_S)
        asking.clock.advance(1)
        asking.late.clear()
    gc.collect()
    assert sum(one() is not None for one in kept) == MAX_THREADS
    # Nor does it stand in the way of what comes later.
    for _ in range(MAX_THREADS):
        asking.threads.end()
    for file in ("one file", "one file", "another"):
        asking.ask(file, file)
    for _ in range(3):
        asking.threads.end()
    assert asking.told[-3:] == ["one file", "one file", "another"]


def test_no_more_may_wait_than_allowed() -> None:
    asking = Asking(max_waiting=10)
    for number in range(10):
        asking.ask(f"file {number}")
    with pytest.raises(DiskBusy):
        asking.ask("one more")
    asking.threads.end()
    asking.ask("one more")


def test_an_error_goes_to_whoever_asked() -> None:
    asking = Asking()

    def fail() -> None:
        raise OSError

    asking.disk.run("a", fail, asking.late.append).addErrback(asking.told.append)
    work, answer = asking.threads.running.pop()
    try:
        work()
    except OSError:
        answer.errback()
    assert len(asking.told) == 1
    assert asking.disk.answers


def test_a_disk_answers_unless_something_takes_long() -> None:
    asking = Asking()
    assert asking.disk.answers
    asking.ask("a")
    assert asking.disk.answers
    asking.clock.advance(1)
    assert not asking.disk.answers
    asking.threads.end()
    assert asking.disk.answers


def test_nothing_ticks_while_nobody_waits() -> None:
    asking = Asking()
    asking.ask("a")
    asking.threads.end()
    asking.clock.advance(1)
    assert asking.clock.getDelayedCalls() == []
