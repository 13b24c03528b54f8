"""Turns: however much one client asks, the others get their answers in between.

How it works. The reactor goes round and round: it makes the calls that are due, then reads
from each socket that has something. A client can send hundreds of requests in what is read
at once, and a hundred clients can do so at the same time. So whoever works off requests
asks `is_over` before each of them. From the first request in a round on, `TURN_S` may be
spent; after that, a connection stops reading and queues up with `wait`. In the next round,
the queue comes first: for another `TURN_S`, each connection in it may go on for `SLICE_S`,
or for one request if that takes longer, and then queues up again at the end.

Why it is safe. A round takes twice `TURN_S`, and at most one request more each time,
whatever is sent. What arrives over a connection that isn't in the queue is worked off in
the round in which it is read, unless that round's time is used up: a client that sends one
request at a time does not stand in line behind those that send hundreds. Nobody starves,
because the queue is served in order, and at least one connection in each round.
"""

from collections import deque
from collections.abc import Callable

from twisted.logger import Logger

from otaserver.clock import Clock

TURN_S = 0.004
SLICE_S = 0.001


class Turns:
    """Divides the time of the reactor's thread among connections; one for all of them.

    Args:
        clock: gives the time, and calls back in the reactor's next round.
    """

    log = Logger()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[Callable[[], None]] = deque()
        self._ends_s: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether no further request may be worked off now; ask before each."""
        now_s = self._clock.seconds()
        if self._ends_s is None:
            self._ends_s = now_s + TURN_S
            self._clock.callLater(0, self._come_round)
        return now_s >= self._ends_s

    def wait(self, go_on: Callable[[], None]) -> None:
        """Queue up, because the turn is over.

        Args:
            go_on: called once, when it is this connection's turn again.
        """
        self._queue.append(go_on)

    def _come_round(self) -> None:
        """Serve the queue, and begin the next turn of those that don't stand in it."""
        now_s = self._clock.seconds()
        queue_ends_s = now_s + TURN_S
        # Who queues up again in the meantime waits for the next round.
        for _ in range(len(self._queue)):
            self._ends_s = now_s + SLICE_S
            try:
                self._queue.popleft()()
            except Exception:
                self.log.failure("A connection could not go on")
            now_s = self._clock.seconds()
            if now_s >= queue_ends_s:
                break
        self._ends_s = None
        if self._queue:
            self._ends_s = now_s + TURN_S
            self._clock.callLater(0, self._come_round)
