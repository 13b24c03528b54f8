"""Turns: however much one client asks, the others get their answers in between.

How it works. The reactor goes round and round: it makes the calls that are due, then reads
from each socket that has something. A client can send hundreds of requests in what is read
at once, and a hundred clients can do so at the same time. So a connection that has
something to work off calls `begin`, and asks `is_over` before each request. When
`SLICE_S` has passed, it stops reading, and queues up with `wait`. In the reactor's next
round, those in the queue come first, each for another slice, until `TURN_S` has passed; who
has still more to do queues up again at the end. What then arrives over other connections
has as much time, and when that has passed, these queue up, too.

Why it is safe. A round takes twice `TURN_S`, and one request more each time at most,
whatever is sent. A client that sends one request at a time doesn't stand in line behind
those that send hundreds: its request is worked off in the round in which it is read,
unless too many others come in the same one. Nobody starves, because the queue is served
in order, and at least one connection in each round.
"""

from collections import deque
from collections.abc import Callable

from twisted.logger import Logger

from otaserver.clock import Clock

TURN_S = 0.002
SLICE_S = 0.0005


class Turns:
    """Divides the time of the reactor's thread among connections; one for all of them.

    Args:
        clock: gives the time, and calls back in the reactor's next round.
    """

    log = Logger()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[Callable[[], None]] = deque()
        self._turn_ends_s: float | None = None
        self._slice_ends_s = 0.0

    def begin(self) -> None:
        """Begin a connection's slice: it has requests to work off."""
        now_s = self._clock.seconds()
        self._slice_ends_s = min(now_s + SLICE_S, self._begin_turn(now_s))

    @property
    def is_over(self) -> bool:
        """Whether the slice is over; if it is, no further request may be worked off now."""
        return self._clock.seconds() >= self._slice_ends_s

    def wait(self, go_on: Callable[[], None]) -> None:
        """Queue up, because the slice is over.

        Args:
            go_on: called once, when it is this connection's turn again; it calls `begin`.
        """
        self._queue.append(go_on)
        self._begin_turn(self._clock.seconds())

    def _begin_turn(self, now_s: float) -> float:
        """Begin a turn, unless one has begun; say when it ends."""
        if self._turn_ends_s is None:
            self._turn_ends_s = now_s + TURN_S
            self._clock.callLater(0, self._come_round)
        return self._turn_ends_s

    def _come_round(self) -> None:
        """Serve the queue, and begin the turn of those that don't stand in it."""
        now_s = self._clock.seconds()
        self._turn_ends_s = now_s + TURN_S
        # Who queues up again in the meantime waits for the next round.
        for _ in range(len(self._queue)):
            if now_s >= self._turn_ends_s:
                break
            try:
                self._queue.popleft()()
            except Exception:
                self.log.failure("A connection could not go on")
            now_s = self._clock.seconds()
        self._turn_ends_s = None
        if self._queue:
            self._begin_turn(now_s)
