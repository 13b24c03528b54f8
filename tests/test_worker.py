"""Threads that deliver their results in another one, and keep nobody from ending."""

import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from otaserver.worker import ThreadWorker

TIMEOUT_S = 10


class Reactor(Clock):
    """A clock that the test moves, and a queue of what threads want to have called."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: Queue[Callable[[], object]] = Queue()

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:
        self._calls.put(lambda: function(*args))

    def turn(self) -> None:
        """Wait for one call from a thread, and make it."""
        self._calls.get(timeout=TIMEOUT_S)()


def working(threads: int) -> tuple[ThreadWorker, Reactor]:
    reactor = Reactor()
    worker = ThreadWorker(reactor, threads, "test")
    worker.startService()
    return worker, reactor


class TestThreadWorker(SynchronousTestCase):
    def test_work_is_done_in_a_thread_and_its_result_delivered_in_the_reactor_s(self) -> None:
        worker, reactor = working(2)
        where = worker.run(threading.current_thread)
        self.assertNoResult(where)
        reactor.turn()
        thread = self.successResultOf(where)
        assert thread is not threading.current_thread()
        assert thread.daemon, "a thread that hangs must not keep the process from ending"
        worker.stopService()

    def test_what_work_raises_is_delivered_too(self) -> None:
        worker, reactor = working(1)
        failing = worker.run(int, "x")
        reactor.turn()
        self.failureResultOf(failing, ValueError)
        worker.stopService()

    def test_work_waits_until_the_service_starts(self) -> None:
        reactor = Reactor()
        worker = ThreadWorker(reactor, 1, "test")
        early = worker.run(int, "1")
        assert reactor._calls.empty()
        worker.startService()
        reactor.turn()
        assert self.successResultOf(early) == 1
        worker.stopService()

    def test_no_more_threads_than_allowed_work_at_a_time(self) -> None:
        worker, reactor = working(2)
        go_on = threading.Event()
        names = [worker.run(_name_after, go_on) for _ in range(6)]
        go_on.set()
        while not all(name.called for name in names):
            reactor.turn()
        assert {self.successResultOf(name) for name in names} <= {"test-1", "test-2"}
        worker.stopService()

    def test_stopping_waits_for_work_in_progress_and_in_the_queue(self) -> None:
        worker, reactor = working(1)
        go_on = threading.Event()
        first, second = worker.run(go_on.wait, TIMEOUT_S), worker.run(int, "2")
        stopping = worker.stopService()
        assert isinstance(stopping, Deferred)
        go_on.set()
        while not second.called:
            self.assertNoResult(stopping)
            reactor.turn()
        self.successResultOf(stopping)
        assert self.successResultOf(first) is True
        assert self.successResultOf(second) == 2
        assert reactor.getDelayedCalls() == []

    def test_what_is_asked_for_after_that_keeps_nobody_waiting(self) -> None:
        worker, reactor = working(1)
        worker.run(int, "1").addCallback(lambda _: worker.run(int, "2"))
        stopping = worker.stopService()
        assert isinstance(stopping, Deferred)
        reactor.turn()
        self.successResultOf(stopping)

    def test_stopping_does_not_wait_for_ever(self) -> None:
        worker, reactor = working(1)
        go_on = threading.Event()
        worker.run(go_on.wait, TIMEOUT_S)
        stopping = worker.stopService()
        assert isinstance(stopping, Deferred)
        reactor.advance(2)
        self.assertNoResult(stopping)
        reactor.advance(2)
        self.successResultOf(stopping)
        go_on.set()
        reactor.turn()


def _name_after(event: threading.Event) -> str:
    event.wait(TIMEOUT_S)
    return threading.current_thread().name
