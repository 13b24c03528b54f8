"""The outgoing side of one connection: small writes, and transfers of any size.

How it works. This is the only place that knows whether the transport's buffer is empty
(`is_drained`), and so whether a write may go to the socket directly (see
`otaserver.wire.zero_copy`). For a transfer `Outgoing` registers itself as the
transport's pull producer, which Twisted resumes exactly when the buffer has drained and the
socket is writable. The first turn of a transfer may come earlier, at once, if the
buffer is known to be empty: most answers then need no turn of the reactor at all, and
no registration.

Why it is safe. `is_drained` becomes false with the first write that the socket
doesn't take whole, or that goes through the transport for any other reason, and true
again only when the transport resumes its pull producer, which is Twisted's promise
that nothing is left. Registering calls `resumeProducing` as well; that call promises
nothing, and is treated as such. What one connection may send in one turn is limited, so
that the others get theirs.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from otaserver.wire.stall import StallDetector
from otaserver.wire.transfer import TURN_BYTES, Transfer
from otaserver.wire.zero_copy import (
    Delivery,
    NoSendfile,
    delivered_bytes,
    delivery,
    is_plain_tcp,
    send_file,
    write_directly,
    write_parts,
)


class Writer:
    """The outgoing side of a connection that makes small writes only.

    Args:
        transport: the connection's transport.

    Attributes:
        transport: the transport.
        is_drained: whether the transport is known to have nothing in its buffer.
    """

    __slots__ = ("is_drained", "transport")

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.is_drained = is_plain_tcp(transport)

    def write(self, data: bytes) -> None:
        """Write, directly if nothing waits in the transport.

        Args:
            data: what to write.
        """
        if self.is_drained:
            self.is_drained = write_directly(self.transport, data)
        else:
            self.transport.write(data)

    def write_buffered(self, data: bytes) -> None:
        """Write through the transport's buffer, whatever is in it.

        Args:
            data: what to write.
        """
        self.is_drained = False
        self.transport.write(data)


@implementer(IPullProducer)
class Outgoing(Writer):
    """The outgoing side of a connection that carries transfers as well.

    Args:
        transport: the connection's transport.
        standing_producer: is paused while the transport's buffer is full, if that is not
            known from here: the push producer that is registered with a transport that is
            more than a socket, except during transfers; None for none.

    Attributes:
        is_direct: whether the transport is a socket, and nothing else.
        can_sendfile: whether files may be sent by the kernel.
    """

    __slots__ = (
        "_is_lent",
        "_is_lost",
        "_is_registered",
        "_is_registering",
        "_is_waiting",
        "_left_bytes",
        "_standing_producer",
        "_transfer",
        "can_sendfile",
        "is_direct",
    )

    def __init__(self, transport: Any, standing_producer: Any = None) -> None:
        super().__init__(transport)
        self.is_direct = self.can_sendfile = self.is_drained
        self._standing_producer = None if self.is_direct else standing_producer
        if self._standing_producer is not None:
            transport.registerProducer(standing_producer, True)
        self._transfer: Transfer | None = None
        self._is_lent = self._is_registered = self._is_registering = False
        self._is_waiting = self._is_lost = False
        self._left_bytes = TURN_BYTES

    @property
    def delivered_bytes(self) -> int:
        """How much of the transfer in progress has arrived; 0 without one."""
        if self._transfer is None:
            return 0
        return delivered_bytes(self.transport, self._transfer.sent_bytes)

    def delivery(self) -> Delivery:
        """Ask how far what was sent has come.

        Returns:
            What the kernel knows.
        """
        sent_bytes = 0 if self._transfer is None else self._transfer.sent_bytes
        return delivery(self.transport, sent_bytes)

    def is_stalled(self, detector: StallDetector, now_s: float) -> bool:
        """Have the reader's progress judged.

        Args:
            detector: judges it.
            now_s: the time, in seconds.

        Returns:
            Whether to give the reader up.
        """
        arrived_bytes, room_bytes, segment_bytes, _ = self.delivery()
        return detector.is_stalled(now_s, arrived_bytes, room_bytes, segment_bytes)

    def begin_turn(self) -> None:
        """Allow the connection another turn's worth of bytes."""
        self._left_bytes = TURN_BYTES

    def write_small(self, head: bytes, body: bytes, is_last: bool) -> int:
        """Write something small in one go.

        Args:
            head: its head.
            body: its body.
            is_last: whether the connection ends now, and so needs a turn of the reactor
                anyway.

        Returns:
            How much was written, in bytes; the rest has to be sent.

        Raises:
            OSError: the connection is lost.
        """
        if self.is_direct and not is_last:
            return self.write_direct((head, body))
        self.write_buffered(head + body)
        return len(head) + len(body)

    def write_direct(self, parts: Sequence[bytes | memoryview]) -> int:
        """Write to the socket itself, as much as it takes now.

        Args:
            parts: what to write, one after another.

        Returns:
            How much was written, in bytes; 0 if something is waiting in the transport, or
            if it is more than a socket.

        Raises:
            OSError: the connection is lost.
        """
        return write_parts(self.transport, parts) if self.is_drained else 0

    def send_file(self, descriptor: int, offset: int, size_bytes: int) -> int:
        """Have the kernel send a part of a file, within what this turn allows.

        Args:
            descriptor: see `otaserver.wire.zero_copy.send_file`.
            offset: likewise.
            size_bytes: likewise.

        Returns:
            How much was sent, in bytes; 0 if the socket, or this turn, takes no more.

        Raises:
            EOFError: the file ends before the offset.
            NoSendfile: the file has to be read and written instead, and so does
                every later one.
            OSError: the connection is lost.
        """
        wanted_bytes = min(size_bytes, self._left_bytes)
        if not (self.is_drained and wanted_bytes > 0):
            return 0
        try:
            sent_bytes = send_file(self.transport, descriptor, offset, wanted_bytes)
        except BlockingIOError:
            return 0
        except NoSendfile:
            self.can_sendfile = False
            raise
        if not sent_bytes:
            raise EOFError
        self._left_bytes -= sent_bytes
        return sent_bytes

    def send(self, transfer: Transfer) -> "Deferred[None]":
        """Lend the transport to a transfer until it is done.

        Args:
            transfer: what to send; nothing else may be written until then.

        Returns:
            Fires when all has been handed over; fails as `Transfer.start` says.
        """
        self._transfer = transfer
        done = transfer.start(self)
        if self.is_drained and self._left_bytes > 0:
            transfer.resume()
        if transfer.is_finished:
            self._transfer = None
            return done
        # Before it is registered: registering alone may be enough to finish it.
        done.addBoth(self._take_back)
        if not (self._is_waiting or self._is_registered):
            self._register()
        return done

    def abort(self) -> None:
        """Cut the connection: the reader must see it end before the promised length."""
        self._is_lost = True
        self.transport.abortConnection()

    def resumeProducing(self) -> None:
        """Let the transfer go on: what came before it has left the transport."""
        if self._transfer is None:
            return
        if self._is_registering and self.is_direct:
            # This call says nothing about the buffer; the reactor's next one will.
            self.transport.startWriting()
            return
        self.is_drained = self.is_direct
        self.begin_turn()
        self._transfer.resume()

    def resume_when_writable(self) -> None:
        """Have the transfer resumed in another turn, though it has written nothing."""
        self._is_waiting = False
        if self._is_registered:
            self.transport.startWriting()
        else:
            self._register()

    def wait(self) -> None:
        """Leave the transfer alone until it asks to be resumed.

        Some transports would otherwise ask it for more all the time.
        """
        self._is_waiting = True
        if self._is_registered:
            self._is_registered = False
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """End the transfer: the connection has ended."""
        self._is_lost = True
        if self._transfer is not None:
            self._transfer.stop()

    def _register(self) -> None:
        if self._standing_producer is not None and not self._is_lent:
            self.transport.unregisterProducer()
        self._is_lent = self._is_registered = self._is_registering = True
        self.transport.registerProducer(self, False)
        self._is_registering = False

    def _take_back(self, result: Any) -> Any:
        """Return the transport to the producer that it was borrowed from."""
        self._transfer = None
        self._is_waiting = False
        was_registered, self._is_registered = self._is_registered, False
        was_lent, self._is_lent = self._is_lent, False
        if self._is_lost:
            return result
        if was_registered:
            self.transport.unregisterProducer()
        if was_lent and self._standing_producer is not None:
            self.transport.registerProducer(self._standing_producer, True)
            # The transport may have paused it before the transfer, and has since told
            # only the transfer that it is ready again.
            self._standing_producer.resumeProducing()
        return result
