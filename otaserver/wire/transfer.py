"""Sending something over a connection, as fast as its reader takes it and no faster.

A transfer is asked for more (`Transfer.resume`) only when what came before has left the
transport, so a reader that stalls holds no memory here, whatever the size of what it
asked for. See `otaserver.wire.outgoing` for who asks.
"""

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from otaserver.errors import OTAServerError

# How much is written through a transport's buffer in one turn.
PIECE_BYTES = 1 << 16

# How much of a file one connection may send before others have their turn.
TURN_BYTES = 1 << 21

# A body of up to this size goes out in one write with its head.
FIRST_WRITE_BYTES = 1 << 16


class TransferAborted(OTAServerError):
    """The connection ended before the transfer did."""

    def __init__(self) -> None:
        super().__init__("The connection was lost during a transfer.")


class Outlet(Protocol):
    """Where a transfer goes: what it needs of `otaserver.wire.outgoing.Outgoing`.

    Attributes:
        is_direct: whether it is a socket, and nothing else.
        can_sendfile: whether files may be sent by the kernel.
        is_drained: whether all that was written has left; if not, the transfer is
            resumed when it has.
    """

    is_direct: bool
    can_sendfile: bool
    is_drained: bool

    def write(self, data: bytes) -> None:
        """Write something small, bypassing the transport's buffer if that is empty.

        Args:
            data: what to write.
        """

    def write_direct(self, parts: "Sequence[bytes | memoryview]") -> int:
        """Write to the socket itself, as much as it takes now.

        Args:
            parts: what to write, one after another.

        Returns:
            How much was written, in bytes.
        """

    def write_buffered(self, data: bytes) -> None:
        """Write through the transport's buffer; the transfer is resumed once it is empty.

        Args:
            data: what to write.
        """

    def send_file(self, descriptor: int, offset: int, size_bytes: int) -> int:
        """Have the kernel send a part of a file.

        Args:
            descriptor: an open file.
            offset: where to begin, in bytes.
            size_bytes: how much to send at most.

        Returns:
            How much was sent, in bytes.
        """

    def wait(self) -> None:
        """Leave the transfer alone until it asks to be resumed."""

    def resume_when_writable(self) -> None:
        """Have the transfer resumed in another turn."""

    def abort(self) -> None:
        """Cut the connection."""


class Transfer:
    """Something on its way over a connection.

    Args:
        head: what to send first, together with the first bytes of the body; empty for
            no head.

    Attributes:
        sent_bytes: how much of the body has been handed over.
    """

    def __init__(self, head: bytes = b"") -> None:
        self.sent_bytes = 0
        self._head = head
        self._outlet: Outlet | None = None
        self._done: Deferred[None] | None = None

    def start(self, outlet: Outlet) -> "Deferred[None]":
        """Attach to a connection; `resume` sends.

        Args:
            outlet: where to send.

        Returns:
            Fires when everything has been handed over; fails with
            `TransferAborted` if the connection ends first, and with
            `otaserver.catalogue.stamps.FileChanged` if a file has changed, or can't
            be read.
        """
        self._outlet = outlet
        self._done = Deferred()
        return self._done

    @property
    def has_begun(self) -> bool:
        """Whether the head, if any, has been handed over; until then, an error can be answered."""
        return not self._head

    @property
    def is_finished(self) -> bool:
        """Whether it was started, and has ended."""
        return self._outlet is not None and self._done is None

    def resume(self) -> None:
        """Send more: what came before has left the transport."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it, because the connection has ended."""
        self._finish(TransferAborted())

    def cut(self) -> None:
        """End it before its time, and the connection with it."""
        self._finish(TransferAborted(), must_abort=True)

    def discard(self) -> None:
        """Release what it holds, instead of being started."""
        self._release()

    def _finish(self, error: OTAServerError | None = None, must_abort: bool = False) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        self._release()
        if must_abort and self._outlet is not None:
            self._outlet.abort()
        if error is None:
            done.callback(None)
        else:
            done.errback(error)

    def _release(self) -> None:
        """Release what it holds."""


class BytesTransfer(Transfer):
    """Sends bytes that are already in memory.

    They are handed to the socket from where they are: all transfers of the same body share
    its bytes, and a reader that stalls holds no others. A transport that is more than a
    socket gets a copy, a piece at a time.

    Args:
        body: what to send.
        head: see `Transfer`.
        written_bytes: how much of both has been written already.
    """

    def __init__(self, body: bytes, head: bytes = b"", written_bytes: int = 0) -> None:
        super().__init__(head)
        self._body = memoryview(body)
        self._has_written = False
        self._advance(written_bytes)

    @property
    def has_begun(self) -> bool:
        """Whether any of it has been handed over."""
        return self._has_written

    def resume(self) -> None:
        """Send the next piece."""
        if self._outlet is None or self._done is None:
            return
        if not (self._head or self._left_bytes):
            self._finish()
        elif self._outlet.is_direct:
            self._write_direct(self._outlet)
        else:
            piece = self._head + self._body[self.sent_bytes : self.sent_bytes + PIECE_BYTES]
            self._advance(len(piece))
            self._outlet.write_buffered(piece)

    @property
    def _left_bytes(self) -> int:
        return len(self._body) - self.sent_bytes

    def _write_direct(self, outlet: Outlet) -> None:
        try:
            self._advance(outlet.write_direct((self._head, self._body[self.sent_bytes :])))
        except OSError:
            self._finish(TransferAborted(), must_abort=True)
            return
        if self._head or self._left_bytes:
            outlet.resume_when_writable()
        else:
            self._finish()

    def _advance(self, written_bytes: int) -> None:
        if written_bytes:
            self._has_written = True
        body_bytes = max(0, written_bytes - len(self._head))
        self._head = self._head[written_bytes:]
        self.sent_bytes += body_bytes
