"""Ports for tests that have to know them beforehand."""

import contextlib
import random
import socket

# Below these are well-known ones; above are those that the system itself gives to sockets.
FIRST, LAST = 20_000, 32_000


def free_ports(count: int) -> range:
    """Return ports in a row that nobody listens on, other ones each time."""
    while True:
        first = random.SystemRandom().randrange(FIRST, LAST - count)
        ports = range(first, first + count)
        if all(map(_is_free, ports)):
            return ports


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False
