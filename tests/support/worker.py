"""Workers for tests: one that works at once, and one that works when it is told to."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred


class ImmediateWorker:
    """Does everything at once, in the thread that asks."""

    def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> "Deferred[Any]":
        return maybeDeferred(work, *args, **kwargs)


class LateWorker:
    """Does what it was asked to do when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> "Deferred[Any]":
        result: Deferred[Any] = Deferred()
        self.waiting.append(lambda: maybeDeferred(work, *args, **kwargs).chainDeferred(result))
        return result

    def work(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one()
