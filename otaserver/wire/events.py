"""What was served to whom: one event for each request or transfer.

The access log formats these events; metrics can subscribe to them as well.
"""

from collections.abc import Callable
from typing import NamedTuple

# How much of each thing that a client sends goes into an event.
MAX_PART_BYTES = 2_048


class Served(NamedTuple):
    """One request or transfer that has ended.

    Attributes:
        ended_s: when, in seconds since 1970.
        took_s: how long it took, from the end of the request to the last byte that was
            handed over, in seconds.
        peer_host: the client's address; empty if it has none.
        request: what was asked for, as in ``GET /manifest.json HTTP/1.1`` or
            ``RETR /manifest.json FTP``, as the client sent it; empty if no
            complete request was received.
        status: the status or reply code.
        body_bytes: how much of the body was sent.
        referer, user_agent: what the client says about itself; empty if nothing.
    """

    ended_s: float
    took_s: float
    peer_host: str
    request: bytes
    status: int
    body_bytes: int
    referer: bytes = b""
    user_agent: bytes = b""


def cut(raw: bytes) -> bytes:
    """Shorten what a client sent, so that events stay small.

    Args:
        raw: what it sent.

    Returns:
        The same bytes, or their beginning followed by dots.
    """
    return raw if len(raw) <= MAX_PART_BYTES else raw[:MAX_PART_BYTES] + b"..."


class ServedEvents:
    """Passes events on to its subscribers."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Served], None]] = []

    def subscribe(self, subscriber: Callable[[Served], None]) -> None:
        """Call a function with every event from now on.

        Args:
            subscriber: must neither block nor raise.
        """
        self._subscribers.append(subscriber)

    def publish(self, event: Served) -> None:
        """Pass an event on.

        Args:
            event: what was served.
        """
        for subscriber in self._subscribers:
            subscriber(event)
