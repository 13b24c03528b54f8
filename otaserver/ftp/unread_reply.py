"""A large reply on a control connection, while it waits in memory to be read."""

from typing import Any, cast

from otaserver.wire.unread import Holder, UnreadAnswers
from otaserver.wire.zero_copy import delivery


class UnreadReply:
    """Counts a reply until it has been read; see `otaserver.wire.unread.Holder`.

    Args:
        transport: what it was written to.
        unread: counts it.
        body: the reply.
    """

    def __init__(self, transport: Any, unread: UnreadAnswers, body: bytes) -> None:
        self._transport = transport
        self._unread = unread
        # `Holder` has an attribute that may be set, where this has a property.
        self._holder = cast(Holder, self)
        unread.hold(self._holder, body)

    @property
    def sent_bytes(self) -> int:
        """How much of everything that was written to the transport has arrived."""
        return delivery(self._transport, 0).arrived_bytes

    def cut(self) -> None:
        """Give up the reply, and so its connection."""
        self._transport.abortConnection()

    def release(self) -> None:
        """Count it no longer."""
        self._unread.release(self._holder)
