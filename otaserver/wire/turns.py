"""How connections that have more to do share the reactor's time.

A single client can send thousands of requests in a segment. Answered in one go, they would
keep every other client waiting for seconds. So a connection does one thing at a time, and
what is left waits here, in one queue for all: each turn of the reactor takes from its head
for a few milliseconds, and then sockets are polled again. A client that asks once is not
queued at all, and waits for no longer than such a turn.
"""

from collections import deque
from collections.abc import Callable

from twisted.logger import Logger

from otaserver.worker import Clock

# How long the queue may keep the reactor from polling the sockets.
_TURN_S = 0.01

# The most that is taken in a turn, whatever the clock says.
_TURN_CALLS = 1000


class Turns:
    """A queue of what goes on in a later turn of the reactor.

    Args:
        clock: tells how long a turn has taken, and calls for the next one.
    """

    log = Logger()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_called = False

    def wait(self, go_on: Callable[[], object]) -> None:
        """Queue something.

        Args:
            go_on: does one thing, which takes a few milliseconds at most; for more it
                queues itself again.
        """
        self._waiting.append(go_on)
        if not self._is_called:
            self._call()

    def _call(self) -> None:
        self._is_called = True
        self._clock.callLater(0, self._take_turn)

    def _take_turn(self) -> None:
        self._is_called = False
        ends_s = self._clock.seconds() + _TURN_S
        for _ in range(_TURN_CALLS):
            try:
                self._waiting.popleft()()
            except Exception:
                # A fault in one must not leave the others waiting.
                self.log.failure("A connection could not go on")
            if not self._waiting or self._clock.seconds() >= ends_s:
                break
        if self._waiting and not self._is_called:
            self._call()
