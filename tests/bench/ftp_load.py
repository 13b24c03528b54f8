"""An FTP client that costs little: what it receives is dropped in the kernel."""

import re
import socket
import threading
import time

from tests.support.process import LOOPBACK

_CHUNK_BYTES = 1 << 20


class Client:
    """A logged-in client.

    Args:
        port: where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._control = socket.create_connection((LOOPBACK, port), 60)
        self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._expect("220")
        if self.ask("USER anonymous").startswith("331"):
            self.ask("PASS bench@", "230")
        self.ask("TYPE I", "200")

    def ask(self, command: str, code: str = "") -> str:
        """Send a command and read its reply."""
        self._control.sendall(command.encode() + b"\r\n")
        return self._expect(code)

    def fetch(self, name: str) -> int:
        """Fetch a file; returns its length in bytes."""
        port = int(re.search(r"\|(\d+)\|", self.ask("EPSV", "229"))[1])
        with socket.create_connection((LOOPBACK, port), 60) as data:
            self._control.sendall(f"RETR {name}\r\n".encode())
            # Linux drops what is received with this flag, instead of copying it.
            buffer = bytearray(_CHUNK_BYTES)
            total = 0
            while count := data.recv_into(buffer, _CHUNK_BYTES, socket.MSG_TRUNC):
                total += count
        self._expect("1")
        self._expect("226")
        return total

    def close(self) -> None:
        """Hang up."""
        self._control.close()

    def _expect(self, code: str) -> str:
        while b"\n" not in self._buffer:
            received = self._control.recv(4096)
            if not received:
                raise ConnectionError("the server hung up")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply = line.decode()
        if not reply.startswith(code):
            raise AssertionError(f"{reply} instead of {code}")
        return reply


def fetch_rate(port: int, name: str, size_bytes: int, count: int, at_a_time: int) -> float:
    """Fetch a file many times.

    Args:
        port: where the server listens.
        name: the file.
        size_bytes: its length.
        count: how often each client fetches it.
        at_a_time: how many clients there are.

    Returns:
        The rate of all of them together, in MB/s.
    """
    clients = [Client(port) for _ in range(at_a_time)]

    def fetch_all(client: Client) -> None:
        for _ in range(count):
            assert client.fetch(name) == size_bytes

    fetch_all(clients[0])
    threads = [threading.Thread(target=fetch_all, args=(client,)) for client in clients]
    started_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - started_s
    for client in clients:
        client.close()
    return at_a_time * count * size_bytes / took_s / 1e6
