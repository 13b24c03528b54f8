"""Floods an HTTP server: ``flood PORT KIND CONNECTIONS REQUESTS read|unread``, until ended."""

import contextlib
import select
import socket
import sys
import time


def _requests(kind: str, connection: int, count: int) -> bytes:
    """What one connection sends, all at once."""
    if kind == "small":
        return b"GET / HTTP/1.1\r\n\r\n" * count
    if kind == "pages":
        return b"".join(
            b"GET /1.0.0/flash/app/?%d HTTP/1.1\r\n\r\n" % number for number in range(count)
        )
    # A manifest has the Host in it: each Host makes it another one.
    host = connection if kind == "manifests" else 0
    return b"GET /large/manifest.json HTTP/1.1\r\nHost: h%d\r\n\r\n" % host * count


def main() -> None:
    port, kind, connections, count = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5])
    reads = sys.argv[5] == "read"
    left: dict[socket.socket, memoryview] = {}
    for number in range(connections):
        client = socket.create_connection(("127.0.0.1", port))
        client.setblocking(False)
        left[client] = memoryview(_requests(kind, number, count))
    while True:
        sending = [client for client, data in left.items() if data]
        readable, writable, _ = select.select(left if reads else [], sending, [], 1)
        for client in writable:
            with contextlib.suppress(BlockingIOError):
                left[client] = left[client][client.send(left[client][: 1 << 16]) :]
        for client in readable:
            client.recv(1 << 20)
        if not (readable or writable):
            time.sleep(0.05)


main()
