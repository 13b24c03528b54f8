"""The worker threads, as an interface that the rest of the server depends on."""

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_P = ParamSpec("_P")
_T = TypeVar("_T")


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
    """A `Worker` with its own pool of threads.

    Args:
        reactor: the reactor in whose thread results are delivered.
        threads: the maximum number of threads.
        name: the name of the threads.
    """

    def __init__(self, reactor: Any, threads: int, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, threads, name)

    def startService(self) -> None:
        """Allow threads to start, now that the process will not fork again."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """Wait for running work to finish."""
        super().stopService()
        self._pool.stop()

    def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> "Deferred[_T]":
        """Call a function in a worker thread. See `Worker.run`."""
        result: Deferred[_T] = deferToThreadPool(self._reactor, self._pool, work, *args, **kwargs)
        return result
