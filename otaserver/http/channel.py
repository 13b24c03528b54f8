"""One connection of a client: who it is, and how long it may take."""

from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from otaserver.connections import Admission
from otaserver.http.answers import Answer, head, sentence
from otaserver.plain_tcp import is_plain_tcp, send_at_once, write_at_once
from otaserver.progress import Progress
from otaserver.sentences import TOO_MANY_CONNECTIONS
from otaserver.transfer import Transfer

if TYPE_CHECKING:
    from otaserver.http.site import Site

MAX_BODY_BYTES = 1 << 16

# What may lie in a transport's buffer when the last answer is done: its first write.
_MAX_BUFFERED_BYTES = 1 << 16

# How long a client that was refused, or timed out, may take to hear of it.
_LINGER_S = 5.0

_TOO_MANY = sentence(503, TOO_MANY_CONNECTIONS, Retry_After="10")


class _State(Enum):
    IDLE = "waiting for a request"
    RECEIVING = "receiving one"
    ANSWERING = "answering it"
    CLOSING = "closing"


class Channel(HTTPChannel):
    """A connection with limits on everything that a client can draw out.

    Attributes:
        site: the site that it belongs to.
        peer_host: the client's address; empty where it has none.
    """

    site: "Site"
    transport: Any

    def connectionMade(self) -> None:
        """Admit the connection, or turn it away."""
        # Asking the socket again for each request would take as long as answering.
        self._peer = self.transport.getPeer()
        self._host = self.transport.getHost()
        self.peer_host: str = getattr(self._peer, "host", "")
        self._state = _State.RECEIVING
        self._transfer: Transfer | None = None
        self._progress: Progress | None = None
        self._writes_at_once = is_plain_tcp(self.transport)
        super().connectionMade()
        admission = self.site.connections.add(self)
        self._deadline_s = self.site.now_s + self.site.timeouts.request_s
        if admission is Admission.REFUSED:
            self.refuse(_TOO_MANY)
        elif admission is Admission.DROPPED:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        self.site.connections.remove(self)
        super().connectionLost(reason)

    def getPeer(self) -> Any:
        """Tell the client's address."""
        return self._peer

    def getHost(self) -> Any:
        """Tell the address that the client reached."""
        return self._host

    def own_authority(self) -> str:
        """Write the address that the client reached as a URL does."""
        host = getattr(self._host, "host", "localhost")
        port = getattr(self._host, "port", None)
        # A zone means something to this computer only.
        host = host.partition("%")[0]
        shown = f"[{host}]" if ":" in host else host
        usual_port = 443 if self.isSecure() else 80
        return shown if port in (None, usual_port) else f"{shown}:{port}"

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends; the first byte of a request starts its time."""
        if self._state is _State.IDLE:
            self._state = _State.RECEIVING
            self._deadline_s = self.site.now_s + self.site.timeouts.request_s
        self._may_send_at_once = True
        super().dataReceived(data)

    def pauseProducing(self) -> None:
        """Answer no more requests, because the client does not take the answers.

        The requests of one segment alone could make hundreds of megabytes of them.
        """
        self.paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Answer what has arrived meanwhile."""
        self.paused = False
        super().resumeProducing()
        # Past this class's own, which would take it for a new request.
        super().dataReceived(b"")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that never ends."""
        self._respondToBadRequestAndDisconnect()

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; a length of thousands of digits is no number to Python."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        """Refuse a body that nothing here has a use for."""
        if self.length is None:
            self.refuse(sentence(411, "A body needs a Content-Length."))
        elif self.length > MAX_BODY_BYTES:
            # In case the caller goes on with the request.
            self.length = None
            self.refuse(sentence(413, f"A body is of {MAX_BODY_BYTES} bytes at most."))
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Answer the request, which may take its time from now on."""
        self._state = _State.ANSWERING
        self._deadline_s = inf
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Wait for the next request."""
        timeouts = self.site.timeouts
        if self.persistent:
            self._state = _State.IDLE
            self._deadline_s = self.site.now_s + timeouts.idle_s
        else:
            # What the kernel has not taken yet may go at the lowest rate.
            left_bytes = min(request.sentLength, _MAX_BUFFERED_BYTES)
            last_s = left_bytes / timeouts.min_rate if timeouts.min_rate else inf
            self._stop_listening()
            self._deadline_s = self.site.now_s + timeouts.stall_s + last_s
        super().requestDone(request)

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Tell whether the connection stays open (RFC 9112, section 9.3)."""
        fields = request.requestHeaders.getRawHeaders(b"Connection") or ()
        options = {option.strip().lower() for field in fields for option in field.split(b",")}
        if version == b"HTTP/1.1":
            return b"close" not in options
        return b"keep-alive" in options and b"close" not in options

    def write_at_once(self, data: bytes, is_part: bool) -> None:
        """Write an answer, without the reactor's help where the kernel takes it all.

        Args:
            data: what to write.
            is_part: whether more of the answer follows.

        A connection that ends after the answer needs a turn of the reactor anyway.
        """
        if self._writes_at_once and (self.persistent or is_part):
            self._writes_at_once = write_at_once(self.transport, data)
        else:
            self.transport.write(data)

    def send_at_once(self, descriptor: int, offset: int, length: int) -> int:
        """Send what the kernel takes of a file, after `write_at_once`.

        Of many requests that come together only the first is served like this;
        before the others, other clients have their turn.

        Returns:
            How much was sent, in bytes.
        """
        if not (self._writes_at_once and self._may_send_at_once):
            return 0
        self._may_send_at_once = False
        return send_at_once(self.transport, descriptor, offset, length)

    def send(self, transfer: Transfer) -> "Deferred[None]":
        """Lend the transport to a transfer, and take it back when that is done."""
        self._transfer = transfer
        timeouts = self.site.timeouts
        self._progress = Progress(self.site.now_s, timeouts.stall_s, timeouts.min_rate)
        self.transport.unregisterProducer()

        def done(result: Any) -> Any:
            self._transfer = self._progress = None
            return result

        def take_back(_: None) -> None:
            self._writes_at_once = is_plain_tcp(self.transport)
            self.transport.registerProducer(self, True)
            # The transport may have paused us before it was lent, and has
            # since told the transfer that it is ready again.
            self.resumeProducing()

        return transfer.start(self.transport).addBoth(done).addCallback(take_back)

    def refuse(self, answer: Answer) -> None:
        """Answer what is no request, and take nothing more."""
        if self._state is _State.CLOSING:
            return
        version = b"HTTP/1.1"
        self.transport.write(
            head(
                answer,
                version,
                self.site.date_line,
                is_persistent=False,
                is_legacy=self.site.legacy,
            )
            + answer.body
        )
        self.site.log_refusal(self, answer)
        self._close()

    def check_time(self, now_s: float) -> None:
        """End what takes too long; the site calls this once a second.

        Args:
            now_s: the time, in seconds.
        """
        if self._transfer is not None and self._progress is not None:
            if self._progress.is_stalled(now_s, self._transfer.delivered_bytes):
                self.transport.abortConnection()
        elif now_s >= self._deadline_s:
            self._time_out()

    def _time_out(self) -> None:
        if self._state is _State.CLOSING:
            self.transport.abortConnection()
        elif self._state is _State.RECEIVING and self.requests:
            self.refuse(sentence(408, "The request took too long to arrive."))
        else:
            self._stop_listening()
            self.loseConnection()

    def _close(self) -> None:
        """Send what was written, then wait for the client to hang up.

        To hang up first, with some of the request unread, would make the kernel
        drop the answer.
        """
        self._stop_listening()
        # TLS has an end of its own, after what is written.
        if hasattr(self.transport, "loseWriteConnection") and not self.isSecure():
            self.transport.loseWriteConnection()
        else:
            self.loseConnection()

    def _stop_listening(self) -> None:
        self._state = _State.CLOSING
        self._deadline_s = self.site.now_s + _LINGER_S
        self.persistent = False
        self.dataReceived = self.lineReceived = self.rawDataReceived = _drop  # type: ignore

    def _send100Continue(self) -> None:
        # It waits in the transport's buffer, and the answer must not overtake it.
        self._writes_at_once = False
        super()._send100Continue()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(sentence(400, "The request is not HTTP as this server knows it."))


def _drop(data: bytes) -> None:
    """Take nothing more."""
