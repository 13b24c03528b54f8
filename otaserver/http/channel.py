"""One client's connection: who it is, how long it may take, and what goes out.

How it works. Twisted's `HTTPChannel` parses requests; this class limits the time and
the memory that a client can take up. A connection is always in one state (`_State`)
with one deadline, which `check_time` compares once a second:

    RECEIVING   from the connection, or the first byte of a later request, to the last
                byte of the request: ``request_s``
    ANSWERING   no deadline: while something is sent, `StallDetector` watches it
    IDLE        kept open for the next request: ``idle_s``
    CLOSING     the last answer has been written: the client gets some time to take
                it, then the connection is cut

Why it is safe. The later bytes of a request don't extend its deadline, so sending them
one by one gains nothing. Pipelined requests wait, unparsed, until the answer before
them is done, and none is answered while the transport's buffer is full, so a client
can't pile up answers that it doesn't take. On the way out everything goes through
`Outgoing`, the only place that knows whether a write may bypass the transport's buffer.

Closing takes care. If the server hangs up while part of a request is unread, the kernel
sends a reset, which can destroy the answer (RFC 9112, section 9.6). So after a refusal
over plain TCP the server closes only its own half, reads and discards until the client
hangs up, and cuts the connection if it doesn't.
"""

from enum import Enum
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from otaserver.errors import OTAServerError
from otaserver.http.answers import head
from otaserver.http.base_url import BadHost, Reached, base_url, is_from_proxy
from otaserver.http.errors import (
    MAX_BODY_BYTES,
    BadRequest,
    BodyTooLarge,
    LengthRequired,
    RequestTimedOut,
    error_answer,
)
from otaserver.http.fields import Fields
from otaserver.http.state import SiteState
from otaserver.wire.addresses import unmapped
from otaserver.wire.connections import Admission
from otaserver.wire.events import Served
from otaserver.wire.limits import TooManyConnections
from otaserver.wire.outgoing import Outgoing
from otaserver.wire.stall import StallDetector
from otaserver.wire.transfer import FIRST_WRITE_BYTES, Transfer

# How long a client that was refused, or timed out, may take to read the answer.
_LINGER_S = 5.0


class _State(Enum):
    IDLE = "waiting for a request"
    RECEIVING = "receiving a request"
    ANSWERING = "answering it"
    CLOSING = "closing"


class Channel(HTTPChannel):
    """A connection with limits on the time and the memory that a client can take up.

    Attributes:
        state: what the connections of the site share.
        peer_host: the client's address; empty if it has none.
        outgoing: the outgoing side.
    """

    state: SiteState
    transport: Any
    _networkProducer: Any

    _stall: StallDetector | None = None
    # What URLs begin with, and the request's host that it was made from: clients repeat it.
    _host_key: tuple[bytes | None, bool] | None = None
    _host_url = ""

    def connectionMade(self) -> None:
        """Admit the connection, or turn it away."""
        # Asking the socket again for each request would take as long as answering it.
        self.peer_host = unmapped(getattr(self.transport.getPeer(), "host", ""))
        self._state = _State.RECEIVING
        self.outgoing = Outgoing(self.transport, standing_producer=self)
        super().connectionMade()
        admission = self.state.listener.connections.add(self)
        self._deadline_s = self._in(self.state.timeouts.request_s)
        if admission is Admission.REFUSED:
            self.refuse(TooManyConnections())
        elif admission is Admission.DROPPED:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection.

        Args:
            reason: why it ended.
        """
        self.state.listener.connections.remove(self)
        # Ends a transfer in progress, so that its request is logged.
        self.outgoing.stopProducing()
        super().connectionLost(reason)

    def isSecure(self) -> bool:
        """Tell whether the connection is encrypted.

        Returns:
            True over TLS.
        """
        return bool(ISSLTransport.providedBy(self.transport))

    def base_url(self, authority: bytes | None, fields: Fields) -> str:
        """Find out what URLs for this client begin with.

        Args:
            authority: the host in the request line, if there is one.
            fields: the request's header fields.

        Returns:
            A URL without a ``/`` at its end.

        Raises:
            BadHost: there are several Host headers, or one is malformed.
        """
        hosts = fields.get(b"Host", ())
        if len(hosts) > 1:
            raise BadHost("The request has more than one Host header.")
        named = authority if authority is not None else hosts[0] if hosts else None
        is_proxied = is_from_proxy(fields)
        if (named, is_proxied) != self._host_key:
            url = base_url(named, self._reached(), is_proxied)
            self._host_url = self.state.public_url or url
            self._host_key = (named, is_proxied)
        return self._host_url

    def _reached(self) -> Reached:
        address = self.transport.getHost()
        host, port = getattr(address, "host", ""), getattr(address, "port", None)
        return Reached(host, port, self.isSecure())

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends; the first byte after an answer starts a new deadline.

        Args:
            data: what it sent.
        """
        if self._state is _State.IDLE:
            self._state = _State.RECEIVING
            self._deadline_s = self._in(self.state.timeouts.request_s)
        self.outgoing.begin_turn()
        super().dataReceived(data)

    def pauseProducing(self) -> None:
        """Answer no more requests, because the client doesn't take the answers.

        The requests in a single segment could ask for hundreds of megabytes.
        """
        self.paused = True
        super().pauseProducing()
        # Twisted's own would go on reading while a request is being answered, and so would
        # keep whatever the client sends.
        self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """Answer what has arrived in the meantime."""
        self.paused = False
        super().resumeProducing()
        # Not this class's own, which would take it for a new request.
        super().dataReceived(b"")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that never ends.

        Args:
            line: the part of it that has arrived.
        """
        self._respondToBadRequestAndDisconnect()

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; refuse a length with more digits than Python will parse.

        Args:
            line: the header.

        Returns:
            Whether to go on with the request.
        """
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        """Refuse a body that is too large or of unknown length; let the client send any other."""
        if self.length is None:
            self.refuse(LengthRequired())
        elif self.length > MAX_BODY_BYTES:
            # In case the caller goes on with the request.
            self.length = None
            self.refuse(BodyTooLarge())
        else:
            request, version = self.requests[-1], self._version
            self.persistent = self.checkPersistence(request, version)
            expected = request.requestHeaders.get(b"Expect")
            if expected and expected[0].lower() == b"100-continue" and version == b"HTTP/1.1":
                # Through the buffer, so that the answer can't overtake it.
                self.outgoing.write_buffered(b"HTTP/1.1 100 Continue\r\n\r\n")

    def allContentReceived(self) -> None:
        """Answer the request; this has no deadline."""
        self._state = _State.ANSWERING
        self._deadline_s = inf
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Wait for the next request.

        Args:
            request: the one that has been answered.
        """
        timeouts = self.state.timeouts
        if self.persistent:
            self._state = _State.IDLE
            self._deadline_s = self._in(timeouts.idle_s)
        else:
            # At most the first write can still be in the transport's buffer, and may
            # leave it at the minimum rate.
            left_bytes = min(request.sent_bytes, FIRST_WRITE_BYTES)
            last_s = left_bytes / timeouts.min_rate if timeouts.min_rate else inf
            self._stop_listening()
            self._deadline_s = self._in(timeouts.stall_s + last_s)
        super().requestDone(request)

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Decide whether the connection stays open (RFC 9112, section 9.3).

        Args:
            request: the request.
            version: its version.

        Returns:
            Whether another request may follow.
        """
        fields = request.requestHeaders.get(b"Connection")
        if fields is None:
            return version == b"HTTP/1.1"
        options = {option.strip().lower() for field in fields for option in field.split(b",")}
        if version == b"HTTP/1.1":
            return b"close" not in options
        return b"keep-alive" in options and b"close" not in options

    def write_answer(self, answer: bytes) -> None:
        """Write a whole answer.

        Args:
            answer: its head and body.
        """
        if self.persistent:
            self.outgoing.write(answer)
        else:
            # A connection that ends now needs a turn of the reactor anyway.
            self.outgoing.write_buffered(answer)

    def send(self, transfer: Transfer) -> "Deferred[None]":
        """Send an answer that does not go out in one write.

        Args:
            transfer: the answer.

        Returns:
            See `Outgoing.send`.
        """
        timeouts = self.state.timeouts
        now_s = self.state.listener.now_s
        self._stall = StallDetector(now_s, timeouts.stall_s, timeouts.min_rate)
        return self.outgoing.send(transfer).addBoth(self._stop_watching)

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
        written = head(
            answer,
            b"HTTP/1.1",
            self.state.date_line,
            is_persistent=False,
            is_legacy=self.state.legacy,
        )
        self.outgoing.write_buffered(written + answer.body)
        listener = self.state.listener
        listener.served(
            Served(
                listener.wall_s(), 0.0, self.peer_host, b"", int(answer.status), len(answer.body)
            )
        )
        self._close()

    def check_time(self, now_s: float) -> None:
        """End what takes too long; the listener calls this once a second.

        Args:
            now_s: the time, in seconds.
        """
        if self._stall is not None:
            if self._stall.is_stalled(now_s, self.outgoing.delivered_bytes):
                self.transport.abortConnection()
        elif now_s >= self._deadline_s:
            self._time_out()

    def _time_out(self) -> None:
        if self._state is _State.CLOSING:
            self.transport.abortConnection()
        elif self._state is _State.RECEIVING and self.requests:
            self.refuse(RequestTimedOut())
        else:
            self._stop_listening()
            self.loseConnection()

    def _close(self) -> None:
        """Send what was written, then wait for the client to hang up."""
        self._stop_listening()
        # TLS signals its own end after what was written.
        if hasattr(self.transport, "loseWriteConnection") and not self.isSecure():
            self.transport.loseWriteConnection()
        else:
            self.loseConnection()

    def _stop_listening(self) -> None:
        self._state = _State.CLOSING
        self._deadline_s = self._in(_LINGER_S)
        self.persistent = False
        self.dataReceived = self.lineReceived = self.rawDataReceived = _drop  # type: ignore

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(BadRequest())

    def _in(self, seconds: float) -> float:
        """The time so many seconds from now."""
        return self.state.listener.now_s + seconds


def _drop(data: bytes) -> None:
    """Discard what arrives after the end."""
