"""FTP clients that cost little: one thread for all, and what it receives the kernel drops."""

import re
import select
import socket
import time
from collections.abc import Generator, Iterator
from typing import NamedTuple

from tests.bench.ftp_servers import FTPPeer
from tests.support.process import LOOPBACK

_CHUNK_BYTES = 1 << 22
_TIMEOUT_S = 60.0

# Nothing is ever written here.
_DROPPED = bytearray(_CHUNK_BYTES)

# What a client waits for: a socket that can be read.
_Steps = Iterator[socket.socket]


class Client:
    """A logged-in client, whose steps are driven from outside.

    Args:
        port: where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._control = socket.create_connection((LOOPBACK, port), _TIMEOUT_S)
        self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        drive([self._log_in()])

    def ask(self, command: str) -> str:
        """Send a command, and wait for its reply."""
        self._control.sendall(command.encode() + b"\r\n")
        replies: list[str] = []

        def steps() -> _Steps:
            replies.append((yield from self._reply()))

        drive([steps()])
        return replies[0]

    def fetch(self, name: str, size_bytes: int, count: int = 1) -> _Steps:
        """Fetch a file so many times, and check its length."""
        for _ in range(count):
            self._control.sendall(b"EPSV\r\n")
            passive = re.search(r"\|(\d+)\|", (yield from self._reply("229")))
            assert passive, "a reply without a port"
            where = (LOOPBACK, int(passive[1]))
            with socket.create_connection(where, _TIMEOUT_S) as data:
                self._control.sendall(f"RETR {name}\r\n".encode())
                data.setblocking(False)
                assert (yield from self._drop(data)) == size_bytes
            yield from self._reply("1")
            yield from self._reply("226")

    def close(self) -> None:
        """Hang up."""
        self._control.close()

    def _log_in(self) -> _Steps:
        yield from self._reply("220")
        self._control.sendall(b"USER anonymous\r\n")
        if (yield from self._reply()).startswith("331"):
            self._control.sendall(b"PASS bench@\r\n")
            yield from self._reply("230")
        self._control.sendall(b"TYPE I\r\n")
        yield from self._reply("200")

    def _drop(self, data: socket.socket) -> Generator[socket.socket, None, int]:
        total = 0
        while True:
            yield data
            # Linux drops what is received with this flag, instead of copying it.
            count = data.recv_into(_DROPPED, _CHUNK_BYTES, socket.MSG_TRUNC)
            if not count:
                return total
            total += count

    def _reply(self, code: str = "") -> Generator[socket.socket, None, str]:
        while b"\n" not in self._received:
            yield self._control
            received = self._control.recv(4096)
            if not received:
                raise ConnectionError("the server hung up")
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        reply = line.decode()
        if not reply.startswith(code):
            raise AssertionError(f"{reply} instead of {code}")
        return reply


def drive(clients: list[_Steps]) -> None:
    """Let several clients take their steps, until all are done."""
    waiting: dict[int, _Steps] = {}
    with select.epoll() as poll:

        def step(steps: _Steps) -> None:
            for waits_for in steps:
                waiting[waits_for.fileno()] = steps
                try:
                    poll.register(waits_for, select.EPOLLIN | select.EPOLLONESHOT)
                except FileExistsError:
                    poll.modify(waits_for, select.EPOLLIN | select.EPOLLONESHOT)
                return

        for steps in clients:
            step(steps)
        while waiting:
            events = poll.poll(_TIMEOUT_S)
            if not events:
                raise TimeoutError("the server does not answer")
            for descriptor, _ in events:
                step(waiting.pop(descriptor))


class Rate(NamedTuple):
    """How fast a server was.

    Attributes:
        mb_per_s: bytes in a second, in MB (10^6).
        mb_per_cpu_s: bytes for each second of the server's processor time, in MB.
    """

    mb_per_s: float
    mb_per_cpu_s: float


def fetch_rate(peer: FTPPeer, name: str, size_bytes: int, count: int, at_a_time: int) -> Rate:
    """Fetch a file many times.

    Args:
        peer: the server.
        name: the file.
        size_bytes: its length.
        count: how often each client fetches it.
        at_a_time: how many clients there are.

    Returns:
        The rate of all of them together.
    """
    clients = [Client(peer.port) for _ in range(at_a_time)]
    drive([clients[0].fetch(name, size_bytes)])
    cpu_before_s = peer.cpu_s()
    started_s = time.perf_counter()
    drive([client.fetch(name, size_bytes, count) for client in clients])
    took_s = time.perf_counter() - started_s
    # While all are connected: what vsftpd's processes took is gone with them.
    cpu_s = peer.cpu_s() - cpu_before_s
    for client in clients:
        client.close()
    total_mb = at_a_time * count * size_bytes / 1e6
    return Rate(total_mb / took_s, total_mb / cpu_s)
