"""The clock and the worker threads, as interfaces that the rest of the server depends on."""

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DelayedCall(Protocol):
    """A scheduled call. See `twisted.internet.interfaces.IDelayedCall`."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """The time-keeping part of a reactor. See `twisted.internet.interfaces.IReactorTime`."""

    def seconds(self) -> float:
        """Return the current time.

        Returns:
            The time in seconds.
        """

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> DelayedCall:
        """Schedule a call.

        Args:
            delay: how long to wait, in seconds.
            callable: what to call.
            args: its arguments.

        Returns:
            The scheduled call, which can be cancelled.
        """


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
