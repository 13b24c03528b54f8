"""Work that is done once, however many ask for its outcome."""

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


class Once(Generic[_T]):
    """Does some work when its outcome is first asked for, and keeps the outcome.

    If the work fails, all who wait are told, and who asks next starts it again.

    Args:
        start: starts the work.
    """

    def __init__(self, start: "Callable[[], Deferred[_T]]") -> None:
        self._start = start
        self._outcome: list[_T] = []
        self._waiting: list[Deferred[_T]] = []

    def get(self) -> "Deferred[_T]":
        """Ask for the outcome.

        Returns:
            Fires with it.
        """
        answer: Deferred[_T] = Deferred()
        if self._outcome:
            answer.callback(self._outcome[0])
            return answer
        self._waiting.append(answer)
        if len(self._waiting) == 1:
            self._start().addCallback(self._keep).addBoth(self._tell)
        return answer

    def _keep(self, outcome: _T) -> _T:
        self._outcome.append(outcome)
        return outcome

    def _tell(self, result: _T | Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(result)
