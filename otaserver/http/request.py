"""One request: from the bytes of its head to the bytes of its answer."""

import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from otaserver.catalogue.model import File
from otaserver.encoded_manifests import EncodedManifest
from otaserver.errors import OTAServerError
from otaserver.http.answers import Answer, head, not_modified, partial, sentence
from otaserver.http.channel import Channel
from otaserver.http.conditions import (
    Precondition,
    UnsatisfiableRange,
    precondition,
    wanted_range,
)
from otaserver.http.errors import MethodNotAllowed, PreconditionFailed, error_answer
from otaserver.http.routes import Route, manifest_answer
from otaserver.http.target import parse_target
from otaserver.wire.file_transfer import FileTransfer, read_small
from otaserver.wire.transfer import FIRST_WRITE_BYTES, BytesTransfer, Transfer, TransferAborted

_CONDITIONS = frozenset(
    (b"Range", b"If-None-Match", b"If-Modified-Since", b"If-Match", b"If-Unmodified-Since")
)


class Request(http.Request):
    """A request for something in the release tree.

    Attributes:
        fields: the request's headers by name, each in Twisted's canonical case.
        began_s: when all of it had arrived, in seconds since 1970.
    """

    log = Logger()
    channel: Channel

    fields: Mapping[bytes, Sequence[bytes]]

    _transfer: Transfer | None = None

    def handleContentChunk(self, data: bytes) -> None:
        """Drop a part of a body: nothing here has a use for one.

        Args:
            data: the part.
        """

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, now that all of the request has arrived.

        Args:
            command: the method.
            path: the target.
            version: the version of HTTP.
        """
        self.method, self.uri, self.clientproto = command, path, version
        self.process()

    def process(self) -> None:
        """Follow the address, and answer with what it leads to."""
        state = self.channel.state
        self.began_s = state.listener.clock.seconds()
        try:
            if self.method not in (b"GET", b"HEAD"):
                raise MethodNotAllowed
            hosts = self.fields.get(b"Host", ())
            route = state.routes.known(self.uri)
            if route is not None:
                self._answer(route, self.channel.base_url(route.authority, hosts))
                return
            target = parse_target(self.uri)
            base_url = self.channel.base_url(target.authority, hosts)
            following = Deferred.fromCoroutine(state.routes.follow(self.uri, target))
            following.addCallback(self._answer, base_url).addErrback(self._fail)
        except Exception:
            # Whatever it is, one answer fails, and not the connection.
            self._fail(Failure())

    def _answer(self, route: Route, base_url: str) -> None:
        if isinstance(route.end, Answer):
            self._send(route.end)
            return
        server = self.channel.state.server
        if self.method == b"GET":
            server.check_in(route.end, self.channel.peer_host)
        manifest = server.manifest(route.end, base_url)
        if isinstance(manifest, EncodedManifest):
            self._send(manifest_answer(manifest))
        else:
            manifest.addCallback(manifest_answer).addCallback(self._send).addErrback(self._fail)

    def _fail(self, failure: Failure) -> None:
        if not failure.check(OTAServerError):
            self.log.failure("A request failed", failure)
        if self._disconnected:
            return
        if self.startedWriting:
            self.channel.outgoing.abort()
        else:
            self._send_body(error_answer(failure.value))

    def _send(self, answer: Answer) -> None:
        """Send an answer, or what the request's conditions make of it."""
        if self._disconnected:
            return
        offset, length = 0, answer.file.size_bytes if answer.file else len(answer.body)
        if answer.etag and not _CONDITIONS.isdisjoint(self.fields):
            mtime_s = answer.file.mtime_s if answer.file else None
            condition = precondition(self._header, answer.etag, mtime_s)
            if condition is Precondition.NOT_MODIFIED:
                self._send_body(not_modified(answer))
                return
            if condition is Precondition.FAILED:
                raise PreconditionFailed
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

    def _send_body(self, answer: Answer) -> None:
        """Send an answer whose body is in memory."""
        body = b"" if self.method == b"HEAD" else answer.body
        head = self._head(answer)
        self.sentLength = len(body)
        if len(body) <= FIRST_WRITE_BYTES:
            self.channel.write_answer(head + body)
            self.finish()
        else:
            self._begin(BytesTransfer(body, head))

    def _send_file(self, answer: Answer, file: File, offset: int, size_bytes: int) -> None:
        """Send a part of a file, if it is still the same file."""
        state = self.channel.state
        descriptor = state.server.open(file)
        whole = (
            b""
            if self.method == b"HEAD"
            else read_small(descriptor, file.stamp, offset, size_bytes)
        )
        if whole is not None:
            os.close(descriptor)
            self.sentLength = len(whole)
            self.channel.write_answer(self._head(answer) + whole)
            self.finish()
            return
        self.sentLength = size_bytes
        head = self._head(answer)
        self._begin(FileTransfer(descriptor, file.stamp, offset, size_bytes, state.worker, head))

    def _head(self, answer: Answer) -> bytes:
        """Write the head of the answer, which is about to be sent."""
        self.startedWriting = 1
        self.code = answer.status
        channel = self.channel
        state = channel.state
        is_legacy = state.legacy and self.clientproto == b"HTTP/1.0"
        return head(answer, self.clientproto, state.date_line, bool(channel.persistent), is_legacy)

    def _begin(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self.channel.send(transfer).addCallbacks(self._end, self._break_off)

    def _end(self, _: None) -> None:
        self._transfer = None
        self.finish()

    def _break_off(self, failure: Failure) -> None:
        """Answer with an error if nothing has been sent yet; else the connection is gone."""
        transfer, self._transfer = self._transfer, None
        assert transfer is not None
        is_lost = failure.check(TransferAborted)
        if not (transfer.has_begun or is_lost):
            self.startedWriting = 0
            self._fail(failure)
            return
        if not is_lost:
            self.log.warn("{error}", error=failure.getErrorMessage())
        self.sentLength = transfer.sent_bytes
        self.channel.factory.log(self)

    def _header(self, name: str) -> str | None:
        values = self.fields.get(name.encode())
        return b", ".join(values).decode("latin-1") if values else None


def _no_such_range(size_bytes: int) -> Answer:
    return sentence(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        f"The file has {size_bytes} bytes, and none of them is in the range.",
        Content_Range=f"bytes */{size_bytes}",
    )
