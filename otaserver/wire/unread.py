"""How much memory all answers that wait to be read may hold together.

A body stays in memory until its last reader has taken it. One that several answers share
counts once, as it is in memory once. If there is no room for another, the reader who has
taken nothing for longest gives up its place, if that was long enough to call it stalled;
otherwise the new one is turned away, and told to come back.
"""

from typing import Protocol

from otaserver.clock import Clock
from otaserver.errors import OTAServerError

# How long a reader must have taken nothing before its connection is cut for another.
_PATIENCE_S = 30.0


class TooMuchUnread(OTAServerError):
    """There is no memory for another large answer."""

    def __init__(self) -> None:
        super().__init__("Too many large answers are waiting to be read; try again.")


class Holder(Protocol):
    """An answer that is being sent.

    Attributes:
        sent_bytes: how much was sent.
    """

    sent_bytes: int

    def cut(self) -> None:
        """Give it up."""


class _Hold:
    """What is known of a holder: its body, and how long it has had no progress."""

    __slots__ = ("body", "sent_bytes", "since_s")

    def __init__(self, body: bytes, sent_bytes: int, since_s: float) -> None:
        self.body = body
        self.sent_bytes = sent_bytes
        self.since_s = since_s


class UnreadAnswers:
    """Keeps count of the bodies that are being sent.

    Args:
        clock: tells for how long.
        max_bytes: how much they may take together; a single one may take more.
    """

    def __init__(self, clock: Clock, max_bytes: int) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._holds: dict[Holder, _Hold] = {}
        self._sharers: dict[int, int] = {}
        self.held_bytes = 0

    def make_room(self, body: bytes) -> None:
        """Make room for a body, which is about to be sent.

        Args:
            body: the body.

        Raises:
            TooMuchUnread: there is no room, and nobody who has stalled.
        """
        while not self._fits(body):
            holder = self._longest_stalled()
            if holder is None:
                raise TooMuchUnread
            self.release(holder)
            holder.cut()

    def hold(self, holder: Holder, body: bytes) -> None:
        """Count a body until it is released.

        Args:
            holder: who sends it.
            body: the body.
        """
        self._holds[holder] = _Hold(body, holder.sent_bytes, self._clock.seconds())
        sharers = self._sharers.get(id(body), 0)
        self._sharers[id(body)] = sharers + 1
        if not sharers:
            self.held_bytes += len(body)

    def release(self, holder: Holder) -> None:
        """Count a body no longer.

        Args:
            holder: who sent it; one that holds nothing is fine.
        """
        hold = self._holds.pop(holder, None)
        if hold is None:
            return
        self._sharers[id(hold.body)] -= 1
        if not self._sharers[id(hold.body)]:
            del self._sharers[id(hold.body)]
            self.held_bytes -= len(hold.body)

    def _fits(self, body: bytes) -> bool:
        return (
            not self._holds
            or id(body) in self._sharers
            or self.held_bytes + len(body) <= self._max_bytes
        )

    def _longest_stalled(self) -> Holder | None:
        now_s = self._clock.seconds()
        for holder, hold in self._holds.items():
            if holder.sent_bytes != hold.sent_bytes:
                hold.sent_bytes, hold.since_s = holder.sent_bytes, now_s
        holder, hold = min(self._holds.items(), key=lambda item: item[1].since_s)
        return holder if now_s - hold.since_s >= _PATIENCE_S else None
