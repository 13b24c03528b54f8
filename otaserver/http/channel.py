"""One client's connection: who it is, how long it may take, and what goes out.

How it works. A connection is always in one state (`_State`) with one deadline, which
`check_time` compares once a second:

    RECEIVING   from the connection, or the first byte of a later request, to the last
                byte of the request: ``request_s``
    ANSWERING   no deadline: while something is sent, `StallDetector` watches it
    IDLE        kept open for the next request: ``idle_s``
    CLOSING     the last answer has been written: the client gets some time to take
                it, then the connection is cut

Requests are answered one after another. If more has arrived than the request that was
just answered, the rest waits for its turn (`otaserver.wire.turns`), so that a client that
sends a thousand requests at once doesn't keep the others waiting.

Why it is safe. The later bytes of a request don't extend its deadline, so sending them
one by one gains nothing. Little is read at a time, and nothing while something that
was read before waits, so the rest of what a client sends stays in its own kernel. No
request is answered while an answer is still in this process, so a client can't pile up
answers that it doesn't take. On the way out everything goes through `Outgoing`, the
only place that knows whether a write may bypass the transport's buffer.

Closing takes care. If the server hangs up while part of a request is unread, the kernel
sends a reset, which can destroy the answer (RFC 9112, section 9.6). So after a refusal
over plain TCP the server closes only its own half, reads and discards until the client
hangs up, and cuts the connection if it doesn't. A client may close its own half first: it
gets the answers to what it has sent, and then the connection ends.
"""

from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from otaserver.errors import OTAServerError
from otaserver.http.answering import Answering
from otaserver.http.answers import last_answer
from otaserver.http.client_urls import ClientURLs
from otaserver.http.errors import RequestTimedOut, error_answer
from otaserver.http.head import BadRequest, Head
from otaserver.http.incoming import Incoming
from otaserver.http.state import SiteState
from otaserver.wire.addresses import unmapped
from otaserver.wire.connections import Admission
from otaserver.wire.events import Served
from otaserver.wire.half_close import pass_on_half_close
from otaserver.wire.limits import TooManyConnections
from otaserver.wire.outgoing import Outgoing
from otaserver.wire.stall import StallDetector
from otaserver.wire.transfer import FIRST_WRITE_BYTES, Transfer
from otaserver.wire.zero_copy import read_little

# How long a client that was refused, or timed out, may take to read the answer.
_LINGER_S = 5.0


class _State(Enum):
    IDLE = "waiting for a request"
    RECEIVING = "receiving a request"
    ANSWERING = "answering it"
    CLOSING = "closing"


_READY = frozenset((_State.IDLE, _State.RECEIVING))


@implementer(IHalfCloseableProtocol, IPushProducer)
class Channel(Protocol):
    """A connection with limits on the time and the memory that a client can take up.

    Args:
        state: what the connections of the site share.
        make_request: makes what answers a request.

    Attributes:
        state: what the connections of the site share.
        peer_host: the client's address; empty if it has none.
        urls: knows what URLs for this client begin with.
        outgoing: the outgoing side.
        is_persistent: whether another request may follow the one that is being answered.
    """

    transport: Any

    def __init__(
        self, state: SiteState, make_request: "Callable[[Channel, Head], Answering]"
    ) -> None:
        self.state = state
        self.is_persistent = True
        self._make_request = make_request
        self._incoming = Incoming()
        self._request: Answering | None = None
        self._stall: StallDetector | None = None
        self._state = _State.RECEIVING
        # Why nothing is answered at the moment: the answers before are not taken, or the
        # next request waits for its turn.
        self._is_paused = self._is_queued = False
        self._is_reading = True
        self._has_ended = False

    def connectionMade(self) -> None:
        """Admit the connection, or turn it away."""
        transport = self.transport
        # Asking the socket again for each request would take as long as answering it.
        self.peer_host = unmapped(getattr(transport.getPeer(), "host", ""))
        self.urls = ClientURLs(transport, self.isSecure(), self.state.public_url)
        self.outgoing = Outgoing(transport, standing_producer=self)
        read_little(transport)
        pass_on_half_close(transport, self)
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        admission = self.state.listener.connections.add(self)
        self._deadline_s = self._in(self.state.timeouts.request_s)
        if admission is Admission.REFUSED:
            self.refuse(TooManyConnections())
        elif admission is Admission.DROPPED:
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection.

        Args:
            reason: why it ended.
        """
        self._state = _State.CLOSING
        self._incoming.clear()
        self.state.listener.connections.remove(self)
        # Ends a transfer in progress, so that its request is logged.
        self.outgoing.stopProducing()
        if self._request is not None:
            self._request.abandon()

    def isSecure(self) -> bool:
        """Tell whether the connection is encrypted.

        Returns:
            True over TLS.
        """
        return bool(ISSLTransport.providedBy(self.transport))

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends; the first byte after an answer starts a new deadline.

        Args:
            data: what it sent.
        """
        if self._state is _State.CLOSING:
            return
        self._incoming.add(data)
        if self._state is _State.IDLE:
            self._receive()
        if self._state is _State.RECEIVING and not (self._is_paused or self._is_queued):
            self._answer_next()
        else:
            self._read(False)

    def readConnectionLost(self) -> None:
        """Note that the client sends nothing more; it may still wait for answers."""
        self._has_ended = True
        self._is_reading = False
        if self._state is _State.CLOSING:
            self.transport.loseConnection()
        else:
            self._go_on()

    def writeConnectionLost(self) -> None:
        """Do nothing: it was this side that closed its half."""

    def pauseProducing(self) -> None:
        """Answer no more requests, because the client doesn't take the answers."""
        self._is_paused = True
        self._read(False)

    def resumeProducing(self) -> None:
        """Answer what has arrived in the meantime."""
        if self._is_paused:
            self._is_paused = False
            self._go_on()

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def _go_on(self) -> None:
        """Take the next request in a later turn, or read."""
        if self._state not in _READY or self._is_paused:
            return
        if not (self._incoming or self._has_ended):
            self._read(True)
        elif not self._is_queued:
            self._is_queued = True
            self.state.listener.turns.wait(self._take_turn)

    def _take_turn(self) -> None:
        turns = self.state.listener.turns
        turns.begin()
        # It counts as queued, so that what it answers here doesn't queue it again.
        has_taken = True
        while has_taken and not turns.is_over:
            has_taken = self._answer_next()
        self._is_queued = False
        if has_taken:
            self._go_on()

    def _answer_next(self) -> bool:
        """Answer the next request, if all of it has arrived; return whether it had."""
        if self._state not in _READY or self._is_paused:
            return False
        try:
            request = self._incoming.take_request(self._tell_to_continue)
        except OTAServerError as error:
            self.refuse(error)
            return False
        if request is None:
            if self._has_ended:
                self._end_of_requests()
            else:
                self._read(True)
            return False
        self.is_persistent = request.keeps_connection
        self._stall = None
        self.outgoing.begin_turn()
        self._state = _State.ANSWERING
        self._deadline_s = inf
        self._request = self._make_request(self, request)
        self._request.answer()
        return True

    def _tell_to_continue(self) -> None:
        # Through the buffer, so that the answer can't overtake it.
        self.outgoing.write_buffered(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _receive(self) -> None:
        self._stall = None
        self._state = _State.RECEIVING
        self._deadline_s = self._in(self.state.timeouts.request_s)

    def _end_of_requests(self) -> None:
        """End, because the client has sent all that it will send."""
        if self._incoming:
            self.refuse(BadRequest("The connection was closed in the middle of a request."))
        else:
            self._lose()

    def _read(self, is_wanted: bool) -> None:
        """Read from the socket, or stop reading."""
        if is_wanted is self._is_reading or self._has_ended:
            return
        self._is_reading = is_wanted
        if is_wanted:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def answered(self, request: Answering) -> None:
        """Wait for the next request.

        Args:
            request: the one that has been answered.
        """
        self._request = None
        if not self.is_persistent or (self._has_ended and not self._incoming):
            self._end_after(request)
        elif self._incoming:
            self._receive()
            self._go_on()
        else:
            self._state = _State.IDLE
            self._deadline_s = self._in(self.state.timeouts.idle_s)
            self._go_on()

    def _end_after(self, request: Answering) -> None:
        """Close the connection after its last answer."""
        timeouts = self.state.timeouts
        # A large answer is still in the kernel for the most part.
        is_large = request.sent_bytes > FIRST_WRITE_BYTES
        if is_large and self.outgoing.delivery().queued_bytes:
            self._close()
            self._watch()
            return
        if self._incoming or not (self._is_reading or self._has_ended):
            self._close()
        else:
            self._lose()
        # At most the first write can still be in the transport's buffer, and may
        # leave it at the minimum rate.
        left_bytes = min(request.sent_bytes, FIRST_WRITE_BYTES)
        last_s = left_bytes / timeouts.min_rate if timeouts.min_rate else inf
        self._deadline_s = self._in(timeouts.stall_s + last_s)

    def send(self, transfer: Transfer) -> "Deferred[None]":
        """Send an answer that does not go out in one write.

        Args:
            transfer: the answer.

        Returns:
            See `Outgoing.send`.
        """
        sending = self.outgoing.send(transfer)
        if not transfer.is_finished:
            self._watch()
        return sending.addBoth(self._stop_watching)

    def _watch(self) -> None:
        timeouts = self.state.timeouts
        now_s = self.state.listener.now_s
        self._stall = StallDetector(now_s, timeouts.stall_s, timeouts.min_rate)
        # What arrived before.
        self.outgoing.is_stalled(self._stall, now_s)

    def _stop_watching(self, result: Any) -> Any:
        self._stall = None
        return result

    def refuse(self, error: OTAServerError) -> None:
        """Answer with an error, and take nothing more.

        Args:
            error: what is wrong.
        """
        if self._state is _State.CLOSING:
            return
        answer = error_answer(error)
        self.outgoing.write_buffered(last_answer(answer, self.state.date_line, self.state.legacy))
        listener, body_bytes = self.state.listener, len(answer.body)
        listener.served(
            Served(listener.wall_s(), 0.0, self.peer_host, b"", int(answer.status), body_bytes)
        )
        self._close()

    def check_time(self, now_s: float) -> None:
        """End what takes too long; the listener calls this once a second.

        Args:
            now_s: the time, in seconds.
        """
        if self._stall is None:
            # It is not the client who is late while it is queued.
            if now_s >= self._deadline_s and not self._is_queued:
                self._time_out()
        elif self.outgoing.is_stalled(self._stall, now_s):
            self.transport.abortConnection()
        elif self._state is not _State.ANSWERING and not self.outgoing.delivery().queued_bytes:
            self._stall = None
            if self._state is _State.CLOSING:
                self._lose()
            else:
                self._deadline_s = self._in(self.state.timeouts.idle_s)

    def _time_out(self) -> None:
        if self._state is _State.CLOSING:
            self.transport.abortConnection()
        elif self._is_paused or (not self._incoming and self.outgoing.delivery().queued_bytes):
            # It is not late: it is still reading what was written before.
            self._watch()
        elif self._incoming:
            self.refuse(RequestTimedOut())
        else:
            self._lose()

    def _close(self) -> None:
        """Send what was written, then wait for the client to hang up."""
        # TLS signals its own end after what was written.
        has_halves = hasattr(self.transport, "loseWriteConnection") and not self.isSecure()
        if self._has_ended or not has_halves:
            self._lose()
            return
        self._stop_listening()
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()
        self._read(True)

    def _lose(self) -> None:
        """Send what was written, then hang up."""
        self._stop_listening()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _stop_listening(self) -> None:
        self._state = _State.CLOSING
        self._deadline_s = self._in(_LINGER_S)
        self._incoming.clear()

    def _in(self, seconds: float) -> float:
        """The time so many seconds from now."""
        return self.state.listener.now_s + seconds
