"""Time, and work beside the reactor's thread, as the rest of the server asks for them."""

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DelayedCall(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Take it back."""


class Clock(Protocol):
    """The part of a reactor that gives time, as `twisted.internet.task.Clock` has it."""

    def seconds(self) -> float:
        """Tell the time, in seconds."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> DelayedCall:
        """Call something after so many seconds."""


class Worker(Protocol):
    """Does what would block the reactor."""

    def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> "Deferred[_T]":
        """Call something in a thread; its result, or what it raises, comes back."""


class ThreadWorker(Service):
    """A worker with threads of its own.

    Args:
        reactor: the reactor whose thread the results come back to.
        threads: how many threads there may be.
        name: what the threads are called.
    """

    def __init__(self, reactor: Any, threads: int, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, threads, name)

    def startService(self) -> None:
        """Let threads be started, now that the process won't fork any more."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """Wait for what was begun."""
        super().stopService()
        self._pool.stop()

    def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> "Deferred[_T]":
        """Call something in a thread."""
        result: Deferred[_T] = deferToThreadPool(self._reactor, self._pool, work, *args, **kwargs)
        return result
