"""The worker threads, as an interface that the rest of the server depends on."""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_P = ParamSpec("_P")
_T = TypeVar("_T")

# How long the end of the process is put off for work in progress.
_STOP_S = 3.0


class Worker(Protocol):
    """Runs work that would block the reactor."""

    def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> "Deferred[_T]":
        """Call a function in a worker thread.

        Args:
            work: the function.
            args: its arguments.
            kwargs: its keyword arguments.

        Returns:
            Fires in the reactor's thread with the function's result, or fails with
            what it raised.
        """


class ThreadWorker(Service):
    """A `Worker` with its own threads, which are started as they are needed.

    They are daemon threads, so that one that hangs in a system call, because its disk does,
    can't keep the process from ending. Twisted's own thread pool would wait for it.

    Args:
        reactor: the reactor in whose thread results are delivered.
        threads: the maximum number of threads.
        name: the name of the threads.
    """

    log = Logger()

    def __init__(self, reactor: Any, threads: int, name: str) -> None:
        self._reactor = reactor
        self._max_threads = threads
        self._name = name
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._finished: deque[tuple[Deferred[Any], Any]] = deque()
        self._is_delivering = False
        self._threads = 0
        self._unfinished = 0
        self._has_stopped = False
        self._stopping: Deferred[None] | None = None

    def startService(self) -> None:
        """Allow threads to start, now that the process will not fork again."""
        super().startService()
        self._add_threads()

    def stopService(self) -> "Deferred[None] | None":
        """Finish the work that was asked for, unless it takes too long.

        Returns:
            Fires when it is finished, or is given up; None if there is none.
        """
        super().stopService()
        self._has_stopped = True
        for _ in range(self._threads):
            self._queue.put(None)
        if not (self._threads and self._unfinished):
            return None
        self._stopping = Deferred()
        timeout = self._reactor.callLater(_STOP_S, self._give_up)
        self._stopping.addCallback(lambda _: timeout.cancel() if timeout.active() else None)
        return self._stopping

    def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> "Deferred[_T]":
        """Call a function in a worker thread. See `Worker.run`.

        Args:
            work: the function.
            args: its arguments.
            kwargs: its keyword arguments.

        Returns:
            See `Worker.run`; once the service has stopped, it never fires.
        """
        answer: Deferred[_T] = Deferred()

        def do() -> None:
            result: _T | Failure
            try:
                result = work(*args, **kwargs)
            except BaseException:
                result = Failure()
            self._finished.append((answer, result))
            # One call delivers all that has finished by the time it is made. The reactor's
            # thread clears this before it looks, so it finds what was appended until then.
            if not self._is_delivering:
                self._is_delivering = True
                self._reactor.callFromThread(self._deliver)

        if self._has_stopped:
            return answer
        self._unfinished += 1
        self._queue.put(do)
        if self.running:
            self._add_threads()
        return answer

    def _add_threads(self) -> None:
        """Start a thread for each piece of work, as far as allowed; they then stay."""
        while self._threads < min(self._unfinished, self._max_threads):
            self._threads += 1
            name = f"{self._name}-{self._threads}"
            Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while (do := self._queue.get()) is not None:
            do()

    def _deliver(self) -> None:
        self._is_delivering = False
        while self._finished:
            answer, result = self._finished.popleft()
            self._unfinished -= 1
            answer.callback(result)
        stopping = self._stopping
        if stopping is not None and not self._unfinished:
            self._stopping = None
            stopping.callback(None)

    def _give_up(self) -> None:
        stopping, self._stopping = self._stopping, None
        if stopping is not None:
            self.log.warn(
                "The server ends without finishing what it was doing on the disk, "
                "which has not answered for {seconds:.0f} s (threads {name!r}).",
                seconds=_STOP_S,
                name=self._name,
            )
            stopping.callback(None)
