"""HTTP and FTP servers over raw sockets on loopback, which can be told to misbehave.

A fault is a function of (path, bytes about to be sent) that returns the bytes to
send instead and what to do after them: one of the endings below.
"""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TypeVar
from urllib.parse import unquote

CLOSE, RESET, STALL, ENDLESS = "close", "reset", "stall", "endless"
# A byte now and then of what is left of the answer; all of it, and then no more requests.
DRIP, LAST = "drip", "last"
DRIP_S = 0.1
REPLY = ""  # the path that a fault is given for what an FTP server replies
Change = Callable[[bytes], tuple[bytes, str]]
Fault = Callable[[str, bytes], tuple[bytes, str]]
PATIENCE_S = 20
ENDLESS_LIMIT_BYTES = 64_000_000
_Server = TypeVar("_Server", bound="RawServer")


def honest(path: str, data: bytes) -> tuple[bytes, str]:
    return data, CLOSE


def at(path: str, change: Change, times: int = 1000) -> Fault:
    """A fault in the answers for one path, the first so many times."""
    left = [times]

    def fault(asked: str, data: bytes) -> tuple[bytes, str]:
        if asked.partition("?")[0] != path or not left[0]:
            return honest(asked, data)
        left[0] -= 1
        return change(data)

    return fault


class RawServer:
    """Listens on a free loopback port and serves each connection in a thread."""

    def __init__(self, served: Mapping[str, bytes], fault: Fault = honest) -> None:
        self.served = served
        self.fault = fault
        self.requests: list[str] = []
        self.sent_bytes = 0
        self.errors: list[Exception] = []
        self._stopping = threading.Event()
        self._stalled: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def __enter__(self: _Server) -> _Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self.release_stalled()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        if self.errors:
            raise self.errors[0]

    def release_stalled(self) -> None:
        """End the answers that have stalled."""
        while self._stalled:
            self._stalled.pop().set()

    def content(self, path: str) -> bytes | None:
        return self.served.get(path.partition("?")[0])

    def deliver(self, connection: socket.socket, path: str, whole: bytes) -> bytes | None:
        """Send what the fault makes of an answer; return that, None if it ended in disorder."""
        data, ending = self.fault(path, whole)
        connection.sendall(data)
        if path != REPLY:
            self.sent_bytes += len(data)
        if ending == STALL:
            released = threading.Event()
            self._stalled.append(released)
            released.wait(PATIENCE_S)
        elif ending == ENDLESS:
            self._send_endlessly(connection, data[-1:] or b"x")
        elif ending == DRIP:
            self._drip(connection, whole[len(data) :])
        elif ending == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return data if ending == CLOSE else None

    def _send_endlessly(self, connection: socket.socket, unit: bytes) -> None:
        sent = 0
        while sent < ENDLESS_LIMIT_BYTES and not self._stopping.is_set():
            connection.sendall(unit * 4096)
            sent += 4096
        if sent >= ENDLESS_LIMIT_BYTES:
            self.errors.append(AssertionError("the device read on without an end"))

    def _drip(self, connection: socket.socket, data: bytes) -> None:
        for byte in data:
            if self._stopping.wait(DRIP_S):
                return
            connection.sendall(bytes([byte]))

    def _start(self, target: Callable[..., object], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._run, connection)

    def _run(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError


class RawHTTPServer(RawServer):
    """Answers GET, with Range; a connection stays open until an answer is tampered with."""

    ranges = True
    connections = 0

    def __init__(self, served: Mapping[str, bytes], fault: Fault = honest) -> None:
        self.heads: list[dict[str, str]] = []  # the headers of each request
        super().__init__(served, fault)

    def serve(self, connection: socket.socket) -> None:
        self.connections += 1
        reader = connection.makefile("rb")
        for request in iter(reader.readline, b""):
            path = request.decode().split(" ")[1]
            headers = {}
            for line in iter(reader.readline, b"\r\n"):
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            self.requests.append(path)
            self.heads.append(headers)
            answer = self.answer(path, headers)
            if self.deliver(connection, path, answer) != answer:
                return

    def answer(self, path: str, headers: dict[str, str]) -> bytes:
        body = self.content(path)
        if body is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        if not (asked and self.ranges):
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        start = int(asked[1])
        head = "HTTP/1.1 206 Partial Content\r\n"
        head += f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}\r\n"
        head += f"Content-Length: {len(body) - start}\r\n\r\n"
        return head.encode() + body[start:]


class RawFTPServer(RawServer):
    """Serves logins; ``replies`` overrides what is said to a command, None is silence.

    ``done`` is what is said after a transfer, ``done PATH`` after one of that file. In an
    override the data port may stand: ``{port}``, or ``{high}`` and ``{low}``.
    """

    transfers_per_login: int | None = None

    def __init__(
        self,
        served: Mapping[str, bytes],
        fault: Fault = honest,
        replies: Mapping[str, str | None] | None = None,
    ) -> None:
        self.replies = replies or {}
        super().__init__(served, fault)

    def serve(self, connection: socket.socket) -> None:
        session = _FTPSession(self, connection)
        session.say(self.replies.get("", "220 ready"))
        for line in connection.makefile("rb"):
            command, _, argument = line.decode().rstrip("\r\n").partition(" ")
            self.requests.append(line.decode().strip())
            if command in self.replies:
                session.say(session.with_port(self.replies[command]))
            else:
                getattr(session, command.lower())(argument)
            if session.transfers == self.transfers_per_login:
                return


class _FTPSession:
    def __init__(self, server: RawFTPServer, control: socket.socket) -> None:
        self.server = server
        self.control = control
        self.offset = 0
        self.passive: socket.socket | None = None
        self.transfers = 0

    def say(self, text: str | None) -> None:
        if text is None:
            return
        reply = text.encode() + b"\r\n"
        if self.server.deliver(self.control, REPLY, reply) is None:
            raise ConnectionError("ended by the fault")

    def with_port(self, text: str | None) -> str | None:
        if text is None or "{" not in text:
            return text
        port = self._listen()
        return text.format(port=port, high=port // 256, low=port % 256)

    def user(self, name: str) -> None:
        self.say("331 password, please")

    def type(self, kind: str) -> None:
        self.say("200 binary")

    def rest(self, offset: str) -> None:
        self.offset = int(offset)
        self.say("350 from there")

    def epsv(self, argument: str) -> None:
        self.say(f"229 passive (|||{self._listen()}|)")

    def pasv(self, argument: str) -> None:
        port = self._listen()
        # Another host than the one asked: a client that goes there fails.
        self.say(f"227 passive (192,0,2,1,{port // 256},{port % 256})")

    def _listen(self) -> int:
        if self.passive:
            self.passive.close()
        self.passive = socket.create_server(("127.0.0.1", 0))
        self.passive.settimeout(PATIENCE_S)
        return self.passive.getsockname()[1]

    def retr(self, name: str) -> None:
        path = "/" + name.lstrip("/")
        body = self.server.content(path)
        assert self.passive, "a transfer without a data port"
        with self.passive:
            if body is None:
                self.say("550 There is no such file.")
                return
            self.say("150 here it comes")
            data, _ = self.passive.accept()
        with data:
            data.settimeout(PATIENCE_S)
            body, self.offset = body[self.offset :], 0
            sent = self.server.deliver(data, name, body) or b""
        done = "226 done" if len(sent) >= len(body) else "426 broke off"
        self.transfers += 1
        replies = self.server.replies
        self.say(replies.get("done " + path, replies.get("done", done)))

    def __getattr__(self, command: str) -> Callable[[str], None]:
        answers = {"pass": "230 logged in"}
        return lambda argument: self.say(answers.get(command, "502 not here"))


def url_path(name: str) -> str:
    return unquote(name)
