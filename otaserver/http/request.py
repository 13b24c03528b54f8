"""One request: from the bytes of its head to the bytes of its answer."""

import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from otaserver.catalogue import File
from otaserver.files import FileChanged, open_stamped
from otaserver.http.answers import Answer, head, not_modified, partial, sentence
from otaserver.http.conditions import (
    Precondition,
    UnsatisfiableRange,
    precondition,
    wanted_range,
)
from otaserver.http.target import BadTarget, Target, checked_host, parse_target
from otaserver.page_cache import read_if_cached
from otaserver.paths import BadPath
from otaserver.sentences import FILE_CHANGING, FILE_REMOVED, SERVER_FAILED
from otaserver.transfer import BytesTransfer, FileTransfer, Transfer, TransferAborted
from otaserver.update_request import BadUpdateRequest

if TYPE_CHECKING:
    from otaserver.http.channel import Channel

# A body up to this size is written together with its head.
FIRST_WRITE_BYTES = 1 << 16
# Of a larger file, this much is; the rest is sent as it is taken.
LARGE_FIRST_WRITE_BYTES = 1 << 12

_CONDITIONS = frozenset(
    (b"Range", b"If-None-Match", b"If-Modified-Since", b"If-Match", b"If-Unmodified-Since")
)
_GONE = sentence(HTTPStatus.NOT_FOUND, FILE_REMOVED)
_CHANGING = sentence(HTTPStatus.SERVICE_UNAVAILABLE, FILE_CHANGING, Retry_After="2")
_FAILED = sentence(HTTPStatus.INTERNAL_SERVER_ERROR, SERVER_FAILED)
_NOT_THIS_ONE = sentence(HTTPStatus.PRECONDITION_FAILED, "The file is not the one asked for.")
_NO_SUCH_METHOD = sentence(
    HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.", Allow="GET, HEAD"
)


class Request(http.Request):
    """A request for something in the release tree."""

    log = Logger()
    channel: "Channel"

    _transfer: Transfer | None = None

    def gotLength(self, length: int | None) -> None:
        """Prepare for a body, whose length the channel has checked."""

    def handleContentChunk(self, data: bytes) -> None:
        """Drop a part of a body: nothing here has a use for one."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, now that all of the request is there."""
        self.method, self.uri, self.clientproto = command, path, version
        self.process()

    def process(self) -> None:
        """Answer as before, where the same was asked before, or find the answer."""
        hosts = self.requestHeaders.getRawHeaders(b"Host") or []
        if self.method not in (b"GET", b"HEAD"):
            self._send(_NO_SUCH_METHOD)
            return
        known = self.channel.site.known_answer(self.uri, hosts)
        if known is not None:
            self._send(known)
        else:
            self._find(hosts)

    def connectionLost(self, reason: Failure) -> None:
        """End what was being sent."""
        if self._transfer is not None:
            self.sentLength -= self._left_bytes - self._transfer.delivered_bytes
            self.channel.site.log(self)
            self._transfer.stopProducing()
        super().connectionLost(reason)

    def _find(self, hosts: Sequence[bytes]) -> None:
        site = self.channel.site
        try:
            target = parse_target(self.uri)
            found = site.content.at(target, self._base_url(target, hosts))
        except (BadTarget, BadPath, BadUpdateRequest) as error:
            self._send(sentence(HTTPStatus.BAD_REQUEST, str(error)))
            return
        except Exception:
            # Whatever it is, one answer fails, and not the connection.
            self._fail(Failure())
            return
        found.addCallback(site.remember(self.uri, hosts))
        found.addCallback(self._send).addErrback(self._fail)

    def _base_url(self, target: Target, hosts: Sequence[bytes]) -> str:
        if len(hosts) > 1:
            raise BadTarget("The request has more than one Host header.")
        if target.authority is not None:
            host = checked_host(target.authority)
        elif hosts:
            host = checked_host(hosts[0])
        else:
            host = self.channel.own_authority()
        scheme = "https" if self.channel.isSecure() else "http"
        return self.channel.site.public_url or f"{scheme}://{host}"

    def _fail(self, failure: Failure) -> None:
        self.log.failure("A request failed", failure)
        if self._disconnected:
            return
        if self.startedWriting:
            self.channel.transport.abortConnection()
        else:
            self._send_body(_FAILED)

    def _send(self, answer: Answer) -> None:
        """Send an answer, or what the request's conditions make of it."""
        if self._disconnected:
            return
        offset, length = 0, answer.file.size_bytes if answer.file else len(answer.body)
        if answer.etag and self._is_conditional():
            mtime_s = answer.file.mtime_s if answer.file else None
            condition = precondition(self._header, answer.etag, mtime_s)
            if condition is Precondition.NOT_MODIFIED:
                self._send_body(not_modified(answer))
                return
            if condition is Precondition.FAILED:
                self._send_body(_NOT_THIS_ONE)
                return
            if answer.file is not None and self.method == b"GET":
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

    def _is_conditional(self) -> bool:
        names = self.requestHeaders.getAllRawHeaders()
        return any(name in _CONDITIONS for name, _ in names)

    def _send_body(self, answer: Answer) -> None:
        """Send an answer whose body is at hand."""
        body = b"" if self.method == b"HEAD" else answer.body
        if len(body) <= FIRST_WRITE_BYTES:
            self._write(answer, body)
            self.finish()
        else:
            self._write(answer, body[:FIRST_WRITE_BYTES], is_part=True)
            # A view: all who take the same answer share its bytes.
            rest = memoryview(body)[FIRST_WRITE_BYTES:]
            self._send_rest(BytesTransfer(rest), len(rest))

    def _send_file(self, answer: Answer, file: File, offset: int, length: int) -> None:
        """Send a part of a file, if it is still the same file."""
        try:
            descriptor = open_stamped(self.channel.site.path_of(file), file.stamp)
        except FileNotFoundError:
            self._send_body(_GONE)
            return
        except FileChanged:
            self._send_body(_CHANGING)
            return
        except OSError as error:
            self.log.warn("{path} can't be sent: {error}", path=file.path, error=error)
            self._send_body(_CHANGING)
            return
        if self.method == b"HEAD":
            os.close(descriptor)
            self._write(answer, b"")
            self.finish()
            return
        self._send_opened(descriptor, answer, file, offset, length)

    def _send_opened(
        self, descriptor: int, answer: Answer, file: File, offset: int, length: int
    ) -> None:
        """Read what goes out together with the head, then send the rest."""

        def send(first: bytes) -> None:
            if self._disconnected:
                os.close(descriptor)
                return
            sent_bytes = len(first)
            self._write(answer, first, is_part=sent_bytes < length)
            if sent_bytes < length:
                sent_bytes += self.channel.send_at_once(
                    descriptor, offset + sent_bytes, length - sent_bytes
                )
            left_bytes = length - sent_bytes
            self.sentLength = sent_bytes
            if left_bytes:
                worker = self.channel.site.worker
                start = offset + sent_bytes
                rest = FileTransfer(descriptor, file.stamp, start, left_bytes, worker)
                self._send_rest(rest, left_bytes)
            else:
                os.close(descriptor)
                self.finish()

        def close(failure: Failure) -> Failure:
            os.close(descriptor)
            return failure

        first_bytes = length if length <= FIRST_WRITE_BYTES else LARGE_FIRST_WRITE_BYTES
        try:
            first = read_if_cached(descriptor, offset, first_bytes)
        except OSError:
            self._fail(close(Failure()))
            return
        if first is not None:
            send(first)
        else:
            worker = self.channel.site.worker
            reading = worker.run(os.pread, descriptor, first_bytes, offset)
            reading.addCallbacks(send, close).addErrback(self._fail)

    def _write(self, answer: Answer, first: bytes, is_part: bool = False) -> None:
        """Write a head and the first bytes of a body, or all of it, at once."""
        self.startedWriting = 1
        self.code = answer.status
        self.sentLength = len(first)
        channel = self.channel
        site = channel.site
        is_legacy = site.legacy and self.clientproto == b"HTTP/1.0"
        channel.write_at_once(
            head(answer, self.clientproto, site.date_line, bool(channel.persistent), is_legacy)
            + first,
            is_part,
        )

    def _send_rest(self, transfer: Transfer, left_bytes: int) -> None:
        self._transfer = transfer
        self._left_bytes = left_bytes
        self.sentLength += left_bytes

        def done(_: None) -> None:
            self._transfer = None
            self.finish()

        def broken(failure: Failure) -> None:
            if not failure.check(TransferAborted):
                self.log.warn("{error}", error=failure.getErrorMessage())

        self.channel.send(transfer).addCallbacks(done, broken)

    def _header(self, name: str) -> str | None:
        values = self.requestHeaders.getRawHeaders(name.encode())
        return b", ".join(values).decode("latin-1") if values else None


def _no_such_range(size_bytes: int) -> Answer:
    return sentence(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        f"The file has {size_bytes} bytes, and none of them is in the range.",
        Content_Range=f"bytes */{size_bytes}",
    )
