"""One request: from its head to the bytes of its answer."""

from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from otaserver.catalogue.model import File
from otaserver.disk.open_file import OpenFile
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
from otaserver.http.errors import METHODS, MethodNotAllowed, PreconditionFailed, error_answer
from otaserver.http.head import Head
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
        channel: the connection that it arrived on.
        head: its head.

    Attributes:
        sent_bytes: how much of the answer's body was sent.
    """

    log = Logger()

    __slots__ = (
        "_began_s",
        "_channel",
        "_fields",
        "_has_begun",
        "_is_disconnected",
        "_method",
        "_status",
        "_transfer",
        "_uri",
        "_version",
        "sent_bytes",
    )

    def __init__(self, channel: Channel, head: Head) -> None:
        self._channel = channel
        self._method, self._uri, self._version, self._fields = head
        self.sent_bytes = 0
        self._has_begun = False
        self._is_disconnected = False
        self._transfer: Transfer | None = None

    def abandon(self) -> None:
        """Note that nobody is waiting for the answer any more."""
        self._is_disconnected = True

    def answer(self) -> None:
        """Answer the request."""
        command, path = self._method, self._uri
        state = self._channel.state
        self._began_s = state.listener.clock.seconds()
        try:
            if command not in (b"GET", b"HEAD"):
                if command != b"OPTIONS":
                    raise MethodNotAllowed
                self._send_body(_OPTIONS)
                return
            route = state.routes.known(path)
            if route is not None:
                self._answer(route, self._channel.urls.base_url(route.authority, self._fields))
                return
            target = parse_target(path)
            base_url = self._channel.urls.base_url(target.authority, self._fields)
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
            self._record()
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
        if answer.etag and not _CONDITIONS.isdisjoint(self._fields):
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
        if len(body) > FIRST_WRITE_BYTES:
            self._channel.state.listener.unread.make_room(body)
            self.sent_bytes = len(body)
            self._begin(BytesTransfer(body, self._head(answer)), body)
        else:
            self._write(self._head(answer), body)

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
            self._write(self._head(answer), whole)

    def _head(self, answer: Answer) -> bytes:
        """Write the head of the answer, which is about to be sent."""
        self._has_begun = True
        self._status = answer.status
        channel = self._channel
        state = channel.state
        is_legacy = state.legacy and self._version == b"HTTP/1.0"
        return head(answer, self._version, state.date_line, bool(channel.is_persistent), is_legacy)

    def _write(self, head: bytes, body: bytes) -> None:
        """Write a small answer, and wait for the client if it doesn't take all of it."""
        self.sent_bytes = len(body)
        try:
            is_last = not self._channel.is_persistent
            written_bytes = self._channel.outgoing.write_small(head, body, is_last)
        except OSError:
            # The transport will meet the same error.
            written_bytes = 0
        if written_bytes == len(head) + len(body):
            self._finish()
        else:
            self._channel.state.listener.unread.make_room(body)
            self._begin(BytesTransfer(body, head, written_bytes), body)

    def _begin(self, transfer: Transfer, body: bytes = b"") -> None:
        """Send what takes a while; the body, if it is in memory, stays there as long."""
        self._transfer = transfer
        sending = self._channel.send(transfer)
        if body and not transfer.is_finished:
            self._channel.state.listener.unread.hold(transfer, body)
            sending.addBoth(self._release, transfer)
        sending.addCallbacks(self._end, self._break_off)

    def _release(self, result: Any, transfer: Transfer) -> Any:
        self._channel.state.listener.unread.release(transfer)
        return result

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
        self._channel.answered(self)

    def _record(self) -> None:
        """Record what was served, now that it has ended."""
        if self._is_health_check():
            return
        channel, fields = self._channel, self._fields
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

    def _is_health_check(self) -> bool:
        """Whether it is what a proxy asks every few seconds, and so would fill the log."""
        if self._status >= HTTPStatus.BAD_REQUEST:
            return False
        return self._method == b"OPTIONS" or (self._method == b"HEAD" and self._uri == b"/")

    def _header(self, name: str) -> str | None:
        values = self._fields.get(name.encode())
        return b", ".join(values).decode("latin-1") if values else None


# RFC 9110, section 9.3.7.
_OPTIONS = Answer(HTTPStatus.NO_CONTENT, f"Allow: {METHODS}\r\n".encode(), b"")


def _no_such_range(size_bytes: int) -> Answer:
    return sentence(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        f"The file has {size_bytes} bytes, and none of them is in the range.",
        Content_Range=f"bytes */{size_bytes}",
    )
