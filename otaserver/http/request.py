"""One request: from its header fields to the bytes of its answer.

Twisted's `HTTPChannel` parses requests, and needs little of the objects that it makes for
them: `Request` has just that. It replaces Twisted's own, whose cookies, forms and
sessions take longer than an answer does here.
"""

from http import HTTPStatus

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from otaserver.catalogue.model import File
from otaserver.disk.open_files import OpenFile
from otaserver.encoded_manifests import EncodedManifest
from otaserver.errors import OTAServerError
from otaserver.http.accept import prefers_html
from otaserver.http.answers import Answer, head, not_modified, partial, sentence
from otaserver.http.channel import Channel
from otaserver.http.conditions import (
    Precondition,
    UnsatisfiableRange,
    precondition,
    wanted_range,
)
from otaserver.http.error_page import HOME, WayBack, way_back
from otaserver.http.errors import MethodNotAllowed, PreconditionFailed, error_answer
from otaserver.http.fields import Fields
from otaserver.http.routes import Route, manifest_answer
from otaserver.http.target import parse_target
from otaserver.wire.events import Served, cut
from otaserver.wire.file_transfer import FileTransfer, read_small
from otaserver.wire.transfer import FIRST_WRITE_BYTES, BytesTransfer, Transfer, TransferAborted

_CONDITIONS = frozenset(
    (b"Range", b"If-None-Match", b"If-Modified-Since", b"If-Match", b"If-Unmodified-Since")
)


class Request:
    """A request for something in the release tree.

    Args:
        channel: the connection that it arrives on.
        queued: how many requests are ahead of it; unused, but Twisted's channel passes it.

    Attributes:
        requestHeaders: the header fields; the name is Twisted's.
        sent_bytes: how much of the answer's body was sent.
    """

    log = Logger()

    __slots__ = (
        "_began_s",
        "_channel",
        "_has_begun",
        "_is_disconnected",
        "_method",
        "_status",
        "_transfer",
        "_uri",
        "_version",
        "requestHeaders",
        "sent_bytes",
    )

    def __init__(self, channel: Channel, queued: int) -> None:
        self._channel = channel
        self.requestHeaders = Fields()
        self.sent_bytes = 0
        self._has_begun = False
        self._is_disconnected = False
        self._transfer: Transfer | None = None

    def handleContentChunk(self, data: bytes) -> None:
        """Discard a part of the body, which no request here needs.

        Args:
            data: the part.
        """

    def connectionLost(self, reason: Failure) -> None:
        """Note that nobody is waiting for the answer any more.

        Args:
            reason: why the connection ended.
        """
        self._is_disconnected = True

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, now that all of the request has arrived.

        Args:
            command: the method.
            path: the target.
            version: the version of HTTP.
        """
        self._method, self._uri, self._version = command, path, version
        state = self._channel.state
        self._began_s = state.listener.clock.seconds()
        try:
            if command not in (b"GET", b"HEAD"):
                raise MethodNotAllowed
            route = state.routes.known(path)
            if route is not None:
                self._answer(route, self._channel.base_url(route.authority, self.requestHeaders))
                return
            target = parse_target(path)
            base_url = self._channel.base_url(target.authority, self.requestHeaders)
            following = Deferred.fromCoroutine(state.routes.follow(path, target))
            following.addCallback(self._answer, base_url).addErrback(self._fail)
        except Exception:
            # Whatever it is, it fails this answer, not the connection.
            self._fail(Failure())

    def _answer(self, route: Route, base_url: str) -> None:
        if isinstance(route.end, Answer):
            self._send(route.end)
            return
        server = self._channel.state.server
        if self._method == b"GET":
            server.check_in(route.end, self._channel.peer_host)
        manifest = server.manifest(route.end, base_url)
        if isinstance(manifest, EncodedManifest):
            self._send(manifest_answer(manifest))
        else:
            manifest.addCallback(manifest_answer).addCallback(self._send).addErrback(self._fail)

    def _fail(self, failure: Failure) -> None:
        if not failure.check(OTAServerError):
            self.log.failure("A request failed", failure)
        if self._is_disconnected:
            return
        if self._has_begun:
            self._channel.outgoing.abort()
        else:
            self._send_body(error_answer(failure.value, self._way_back()))

    def _way_back(self) -> WayBack | None:
        """Find the way back from an error, if it is to be told on a page."""
        if not prefers_html(self._header("Accept")):
            return None
        try:
            path = parse_target(self._uri).path
            return way_back(path, self._channel.state.server.view(path).folder)
        except OTAServerError:
            return HOME

    def _send(self, answer: Answer) -> None:
        """Send an answer, or what the request's conditions make of it."""
        if self._is_disconnected:
            return
        offset, length = 0, answer.file.size_bytes if answer.file else len(answer.body)
        if answer.etag and not _CONDITIONS.isdisjoint(self.requestHeaders):
            mtime_s = answer.file.mtime_s if answer.file else None
            condition = precondition(self._header, answer.etag, mtime_s)
            if condition is Precondition.NOT_MODIFIED:
                self._send_body(not_modified(answer))
                return
            if condition is Precondition.FAILED:
                raise PreconditionFailed
            if answer.file is not None and self._method == b"GET":
                try:
                    part = wanted_range(self._header, length, answer.etag, answer.file.mtime_s)
                except UnsatisfiableRange:
                    self._send_body(_no_such_range(length))
                    return
                if part is not None:
                    answer = partial(answer, *part, length)
                    offset, length = part
        if answer.file is None:
            self._send_body(answer)
        else:
            self._send_file(answer, answer.file, offset, length)

    def _send_body(self, answer: Answer) -> None:
        """Send an answer whose body is in memory."""
        body = b"" if self._method == b"HEAD" else answer.body
        head = self._head(answer)
        self.sent_bytes = len(body)
        if len(body) <= FIRST_WRITE_BYTES:
            self._channel.write_answer(head + body)
            self._finish()
        else:
            self._begin(BytesTransfer(body, head))

    def _send_file(self, answer: Answer, file: File, offset: int, size_bytes: int) -> None:
        """Send a part of a file, if it is still the same file."""
        opened = self._channel.state.server.open(file)
        if isinstance(opened, OpenFile):
            self._send_opened(opened, answer, offset, size_bytes)
        else:
            opened.addCallback(self._send_opened, answer, offset, size_bytes)
            opened.addErrback(self._fail)

    def _send_opened(self, opened: OpenFile, answer: Answer, offset: int, size_bytes: int) -> None:
        """Send a part of a file that is open now."""
        is_needed = self._method != b"HEAD" and not self._is_disconnected
        whole = read_small(opened, offset, size_bytes) if is_needed else b""
        if whole is None:
            self.sent_bytes = size_bytes
            self._begin(FileTransfer(opened, offset, size_bytes, self._head(answer)))
            return
        opened.release()
        if not self._is_disconnected:
            self.sent_bytes = len(whole)
            self._channel.write_answer(self._head(answer) + whole)
            self._finish()

    def _head(self, answer: Answer) -> bytes:
        """Write the head of the answer, which is about to be sent."""
        self._has_begun = True
        self._status = answer.status
        channel = self._channel
        state = channel.state
        is_legacy = state.legacy and self._version == b"HTTP/1.0"
        return head(answer, self._version, state.date_line, bool(channel.persistent), is_legacy)

    def _begin(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._channel.send(transfer).addCallbacks(self._end, self._break_off)

    def _end(self, _: None) -> None:
        self._transfer = None
        self._finish()

    def _break_off(self, failure: Failure) -> None:
        """Answer with an error if nothing has been sent yet; otherwise the connection is gone."""
        transfer, self._transfer = self._transfer, None
        assert transfer is not None
        is_lost = failure.check(TransferAborted)
        if not (transfer.has_begun or is_lost):
            self._has_begun = False
            self._fail(failure)
            return
        if not is_lost:
            self.log.warn("{error}", error=failure.getErrorMessage())
        self.sent_bytes = transfer.sent_bytes
        self._record()

    def _finish(self) -> None:
        self._record()
        self._channel.requestDone(self)

    def _record(self) -> None:
        """Record what was served, now that it has ended."""
        channel, fields = self._channel, self.requestHeaders
        listener = channel.state.listener
        listener.served(
            Served(
                listener.wall_s(),
                listener.clock.seconds() - self._began_s,
                channel.peer_host,
                cut(b" ".join((self._method, self._uri, self._version))),
                int(self._status),
                self.sent_bytes,
                cut(fields[b"Referer"][0]) if b"Referer" in fields else b"",
                cut(fields[b"User-Agent"][0]) if b"User-Agent" in fields else b"",
            )
        )

    def _header(self, name: str) -> str | None:
        values = self.requestHeaders.get(name.encode())
        return b", ".join(values).decode("latin-1") if values else None


def _no_such_range(size_bytes: int) -> Answer:
    return sentence(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        f"The file has {size_bytes} bytes, and none of them is in the range.",
        Content_Range=f"bytes */{size_bytes}",
    )
