"""Who reads slowly and who has stopped, with real sockets and kernels' buffers of all sizes."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.http import parse_responses
from tests.support.process import LOOPBACK, Server, running_server
from tests.support.trees import write_tree

pytestmark = pytest.mark.real

MIN_RATE = 20_000
STALL_S = 1
# Longer than a kernel with 64 KB for the connection is silent at the lowest rate, and a window.
WATCHED_S = 8.0

RECEIVE_BYTES = {"small": 4_096, "default": 0, "large": 1_000_000}


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has little patience."""
    folder = tmp_path_factory.mktemp("slow")
    files = {"1.0/flash/large": os.urandom(20_000_000), "1.0/flash/small": os.urandom(60_000)}
    root = write_tree(folder / "tree", files)
    options = ("--stall-timeout", str(STALL_S), "--min-rate", str(MIN_RATE), "--idle-timeout", "1")
    with running_server(root, folder / "state", *options) as server:
        yield server


def reader(server: Server, request: bytes, receive_bytes: int) -> socket.socket:
    client = socket.socket()
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.settimeout(WATCHED_S)
    client.connect((LOOPBACK, server.http_port))
    client.sendall(request)
    return client


def lives(client: socket.socket, rate: int, watched_s: float = WATCHED_S) -> bool:
    """Read at a rate; say whether the server is still there afterwards."""
    began_s, read_bytes = time.monotonic(), 0
    with contextlib.suppress(ConnectionResetError):
        while (passed_s := time.monotonic() - began_s) < watched_s:
            wanted_bytes = int(rate * passed_s) - read_bytes
            if wanted_bytes > 0:
                read_bytes += len(client.recv(wanted_bytes))
            time.sleep(0.05)
        return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    return False


def large(version: str = "1.1") -> bytes:
    return f"GET /1.0/flash/large HTTP/{version}\r\nHost: h\r\n\r\n".encode()


def outcomes(server: Server, rate: int, cases: dict[str, tuple[bytes, int]]) -> dict[str, bool]:
    """Let several readers read at a rate, all at once."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(cases)) as threads:
        reading = {
            name: threads.submit(lives, stack.enter_context(reader(server, *case)), rate)
            for name, case in cases.items()
        }
        return {name: result.result() for name, result in reading.items()}


def test_healthy_slow_readers_live(slow_server: Server) -> None:
    cases = {
        f"{version} {name} {times}": (large(version) * times, size_bytes)
        for name, size_bytes in RECEIVE_BYTES.items()
        for version, times in (("1.0", 1), ("1.1", 1), ("1.1", 2))
    }
    cases["small answers"] = (b"GET /1.0/flash/small HTTP/1.1\r\nHost: h\r\n\r\n" * 200, 0)
    lived = outcomes(slow_server, MIN_RATE * 5 // 4, cases)
    assert all(lived.values()), lived


@pytest.mark.parametrize("rate", [0, MIN_RATE // 4])
def test_readers_below_the_lowest_rate_are_given_up(slow_server: Server, rate: int) -> None:
    cases = {
        f"{version} {name}": (large(version), RECEIVE_BYTES[name])
        for name in ("small", "default")
        for version in ("1.0", "1.1")
    }
    cases["small answers"] = (b"GET /1.0/flash/small HTTP/1.1\r\nHost: h\r\n\r\n" * 200, 0)
    lived = outcomes(slow_server, rate, cases)
    assert not any(lived.values()), lived


def test_a_reader_is_not_idle_while_it_reads_what_the_kernel_holds(tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    root = write_tree(tmp_path / "tree", {"1.0/flash/file": content})
    with running_server(root, tmp_path / "state", "--idle-timeout", "1") as server:
        request = b"GET /1.0/flash/file HTTP/1.1\r\nHost: h\r\n\r\n"
        with reader(server, request, 4_096) as client:
            assert lives(client, 1_000, 4)
            client.sendall(request)
            data = b""
            while len(data) < 2 * len(content) - 10_000:
                data += client.recv(1 << 20)
        assert data.count(b"HTTP/1.1 200") == 1


def test_a_client_that_closes_its_sending_side_gets_the_same(slow_server: Server) -> None:
    for request, answers in ((large("1.0"), 1), (large(), 1), (large() * 2, 2)):
        with reader(slow_server, request, 0) as client:
            client.shutdown(socket.SHUT_WR)
            data = bytearray()
            while piece := client.recv(1 << 20):
                data += piece
        assert [answer.status for answer in parse_responses(bytes(data))] == [200] * answers
