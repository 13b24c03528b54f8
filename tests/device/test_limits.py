"""What a server can make long, slow or many ends at a limit."""

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.conftest import raw_server
from tests.support.device import Device
from tests.support.library import OTA, QuickBoard, Reset, files_below, put, quick_ota
from tests.support.raw_servers import CLOSE, DRIP, REPLY, Change, Fault, honest
from tests.support.update_tree import contents, manifest

import ota_errors  # isort: skip  (tests.support.library has put it within reach)

pytestmark = pytest.mark.real

OLD = {"flash/main.py": b"old\n"}
LONG = hashlib.shake_256(b"long").digest(60_000)
NEW = {"flash/long.bin": LONG, "flash/main.py": b"new\n" * 100}
SERVED = contents(manifest(OLD, NEW), NEW)
FILE, LONG_FILE = "/1.0.1/flash/main.py", "/1.0.1/flash/long.bin"
# What a start of an interpreter, and a machine that is busy, may add.
MARGIN_S = 2.5
UPDATED = None


def end_of(ota: OTA) -> Exception | None:
    """Update, and return the error that it ends with, UPDATED if it ends well."""
    try:
        ota.update()
    except ota_errors.OTAError as error:
        return error
    except Reset:
        return UPDATED
    raise AssertionError("there was nothing to do")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, OLD)
    return tmp_path


def only(path: str, change: Change) -> Fault:
    return lambda asked, data: change(data) if asked.partition("?")[0] == path else (data, CLOSE)


def dripping(path: str, at_once: int) -> Fault:
    return only(path, lambda data: (data[:at_once], DRIP))


DRIPS = {
    "http-status": ("http", dripping("/manifest.json", 0)),
    "http-headers": ("http", dripping(FILE, 20)),
    "ftp-greeting": ("ftp", dripping(REPLY, 0)),
    "ftp-manifest": ("ftp", dripping("/manifest.json", 0)),
}
DRIPPING_BODIES = {
    "http": ("http", dripping(LONG_FILE, 10_000)),
    "ftp": ("ftp", dripping(LONG_FILE, 10_000)),
}


class TestDrip:
    """A byte now and then is no sign of life."""

    @pytest.mark.parametrize("transport, fault", DRIPS.values(), ids=DRIPS)
    def test_ends_soon_after_the_time_out(
        self, folder: Path, transport: str, fault: Fault
    ) -> None:
        with raw_server(transport, SERVED, fault=fault) as server:
            start_s = time.monotonic()
            error = end_of(quick_ota(folder, transport, server.port, attempts=1))
            took_s = time.monotonic() - start_s
        assert isinstance(error, ota_errors.LinkError)
        assert took_s < 0.2 + MARGIN_S
        assert files_below(folder) == OLD

    @pytest.mark.parametrize("transport, fault", DRIPS.values(), ids=DRIPS)
    def test_ends_under_micropython_too(
        self, tmp_path: Path, transport: str, fault: Fault
    ) -> None:
        with raw_server(transport, SERVED, fault=fault) as server:
            device = Device(tmp_path, "micropython", transport, server.port)
            device.install(OLD, "1.0.0")
            start_s = time.monotonic()
            boot = device.boot("update", timeout_s=1, attempts=1)
            took_s = time.monotonic() - start_s
        assert boot.last("error").startswith("LinkError")
        assert took_s < 1 + MARGIN_S
        assert device.tree() == OLD

    @pytest.mark.parametrize("transport", ["http"])
    def test_body_by_the_clock_of_the_machine(self, device: Device) -> None:
        """The head has come at once, and with it the credit of its bytes."""
        with raw_server("http", SERVED, fault=dripping(FILE, 45)) as server:
            device.port = server.port
            device.install(OLD, "1.0.0")
            start_s = time.monotonic()
            boot = device.boot("update", timeout_s=1, attempts=1)
            took_s = time.monotonic() - start_s
        assert boot.last("error") == "LinkError the server is too slow"
        assert took_s < 4 + MARGIN_S
        assert device.tree() == OLD

    @pytest.mark.parametrize("transport, fault", DRIPPING_BODIES.values(), ids=DRIPPING_BODIES)
    def test_what_came_fast_buys_time_and_no_more(
        self, folder: Path, transport: str, fault: Fault
    ) -> None:
        with raw_server(transport, SERVED, fault=fault) as server:
            ota = quick_ota(folder, transport, server.port, attempts=1, timeout_s=10)
            let_time_fly(ota.board, 10_000 / 32)
            start_s = time.monotonic()
            error = end_of(ota)
            took_s = time.monotonic() - start_s
        assert str(error) == "the server is too slow"
        assert kept_part(folder).stat().st_size > 8_000
        assert 0.9 < took_s < 1 + MARGIN_S


def let_time_fly(board: QuickBoard, times: float) -> None:
    """Let the board's clock go so many times as fast; poll() has one of its own."""
    start_s = time.monotonic()
    board.ticks_ms = lambda: int((time.monotonic() - start_s) * 1000 * times)


def kept_part(folder: Path) -> Path:
    return folder / "flash/.ota" / hashlib.sha256(LONG).hexdigest()[:24]


@contextlib.contextmanager
def unanswered_port() -> Iterator[int]:
    """A port whose queue of connections is full: the next one is not answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_connecting_ends_at_the_time_out(folder: Path, transport: str) -> None:
    with unanswered_port() as port:
        start_s = time.monotonic()
        error = end_of(quick_ota(folder, transport, port, attempts=1))
        took_s = time.monotonic() - start_s
    assert str(error).startswith("no connection to 127.0.0.1")
    assert 0.1 < took_s < 0.2 + MARGIN_S


def test_connecting_ends_under_micropython_too(tmp_path: Path, transport: str) -> None:
    with unanswered_port() as port:
        device = Device(tmp_path, "micropython", transport, port)
        start_s = time.monotonic()
        boot = device.boot("update", timeout_s=1, attempts=1)
        took_s = time.monotonic() - start_s
    assert boot.last("error").startswith("LinkError no connection")
    assert 1 <= took_s < 1 + MARGIN_S


@pytest.mark.parametrize(
    "value, wait_ms",
    [("7", 7000), ("300", 300_000), ("301", 300_000), ("999999999999", 300_000)],
)
def test_a_server_may_ask_for_a_wait_of_five_minutes(
    folder: Path, value: str, wait_ms: int
) -> None:
    busy = f"HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    with raw_server("http", SERVED, fault=only(FILE, lambda data: (busy, CLOSE))) as server:
        ota = quick_ota(folder, "http", server.port, attempts=2)
        assert isinstance(end_of(ota), ota_errors.LinkError)
    assert ota.board.waits_ms == [wait_ms]


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "\u00b2", ""])
def test_any_other_wait_is_the_library_s_own(folder: Path, value: str) -> None:
    busy = f"HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    with raw_server("http", SERVED, fault=only(FILE, lambda data: (busy, CLOSE))) as server:
        ota = quick_ota(folder, "http", server.port, attempts=2)
        assert isinstance(end_of(ota), ota_errors.LinkError)
    assert 1000 <= ota.board.waits_ms[0] <= 2000


def test_so_many_attempts_and_no_more(folder: Path, transport: str) -> None:
    broken = only("/manifest.json", lambda data: (data[:50], CLOSE))
    with raw_server(transport, SERVED, fault=broken) as server:
        ota = quick_ota(folder, transport, server.port, attempts=4)
        assert isinstance(end_of(ota), ota_errors.LinkError)
        asked = [request for request in server.requests if "/manifest.json" in request]
    assert len(asked) == 4
    assert len(ota.board.waits_ms) == 3


class TestFailuresInARow:
    @staticmethod
    def update(folder: Path, transport: str, piece_bytes: int) -> Exception | None:
        """Fetch a long file, so much at a time, of which two failures in a row are too many."""
        fault = only(LONG_FILE, lambda data: (data[:piece_bytes], CLOSE))
        with raw_server(transport, SERVED, fault=with_length(fault)) as server:
            return end_of(quick_ota(folder, transport, server.port, attempts=2))

    def test_progress_forgives_a_failure(self, folder: Path, transport: str) -> None:
        assert self.update(folder, transport, 17_000) is UPDATED
        assert files_below(folder) == NEW

    def test_little_progress_does_not(self, folder: Path, transport: str) -> None:
        assert isinstance(self.update(folder, transport, 15_000), ota_errors.LinkError)
        assert files_below(folder) == OLD


def with_length(fault: Fault) -> Fault:
    """Count a fault's bytes from the body on, whatever the head's length."""

    def changed(path: str, data: bytes) -> tuple[bytes, str]:
        at = data.find(b"\r\n\r\n") + 4 if data.startswith(b"HTTP/") else 0
        body, ending = fault(path, data[at:])
        return data[:at] + body, ending

    return changed


class Once:
    """Breaks the first answer for a path off, and changes those after it."""

    def __init__(self, path: str, keep_bytes: int, after: bytes) -> None:
        self.path = path
        self.keep_bytes = keep_bytes
        self.after = after
        self.is_first = True

    def __call__(self, path: str, data: bytes) -> tuple[bytes, str]:
        if path != self.path:
            return honest(path, data)
        if self.is_first:
            self.is_first = False
            return data[: self.keep_bytes], CLOSE
        return self.after, CLOSE


def test_http_file_shorter_than_what_came_of_it(folder: Path) -> None:
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    with raw_server("http", SERVED, fault=Once(FILE, 300, short)) as server:
        error = end_of(quick_ota(folder, "http", server.port))
    assert isinstance(error, ota_errors.ServerError)
    assert "shorter than the part received before" in str(error)
    assert files_below(folder) == OLD


def test_ftp_file_shorter_than_what_came_of_it(folder: Path) -> None:
    replies = {"REST": "502 no", "done": "226 done"}
    with raw_server("ftp", SERVED, fault=Once(FILE, 300, b"abc"), replies=replies) as server:
        error = end_of(quick_ota(folder, "ftp", server.port))
    assert isinstance(error, ota_errors.ServerError)
    assert "shorter than the part received before" in str(error)
    assert files_below(folder) == OLD


def test_contents_kept_from_another_manifest_are_forgotten(folder: Path, transport: str) -> None:
    broken = only(LONG_FILE, lambda data: (data[:40_000], CLOSE))
    with raw_server(transport, SERVED, fault=broken) as server:
        assert end_of(quick_ota(folder, transport, server.port, attempts=1))
    assert kept_part(folder).stat().st_size > 30_000
    other = {"flash/main.py": b"another\n"}
    served = contents(manifest(OLD, other, version="1.0.2"), other, version="1.0.2")
    broken = only("/1.0.2/flash/main.py", lambda data: (b"", CLOSE))
    with raw_server(transport, served, fault=broken) as server:
        assert end_of(quick_ota(folder, transport, server.port, attempts=1))
    assert not kept_part(folder).exists()


@pytest.mark.parametrize("short_by, error", [(0, None), (1, ota_errors.ManifestError)])
def test_a_manifest_may_be_as_large_as_the_limit(
    folder: Path, transport: str, short_by: int, error: type[Exception] | None
) -> None:
    limit_bytes = len(SERVED["/manifest.json"]) - short_by
    with raw_server(transport, SERVED) as server:
        ota = quick_ota(folder, transport, server.port, manifest_limit_bytes=limit_bytes)
        assert isinstance(end_of(ota), error or type(UPDATED))


def http_answer(headers: bytes) -> bytes:
    body = SERVED["/manifest.json"]
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body) + headers + b"\r\n" + body


@pytest.mark.parametrize(
    "headers, error",
    [
        (b"X: y\r\n" * 63, None),  # and the content's length
        (b"X: y\r\n" * 64, ota_errors.ServerError),
        (b"X: " + b"y" * 131_067 + b"\r\n", None),
        (b"X: " + b"y" * 131_068 + b"\r\n", ota_errors.ServerError),
    ],
)
def test_64_lines_of_headers_of_128_kib(
    folder: Path, headers: bytes, error: type[Exception] | None
) -> None:
    fault = only("/manifest.json", lambda data: (http_answer(headers), CLOSE))
    with raw_server("http", SERVED, fault=fault) as server:
        assert isinstance(end_of(quick_ota(folder, "http", server.port)), error or type(UPDATED))


@pytest.mark.parametrize(
    "greeting, error",
    [
        ("220-" + "hello\r\n" * 63 + "220 ready", None),
        ("220-" + "hello\r\n" * 64 + "220 ready", ota_errors.ServerError),
        ("220 " + "x" * 1019, None),
        ("220 " + "x" * 1021, ota_errors.ServerError),
    ],
)
def test_64_lines_of_reply_of_1024_bytes(
    folder: Path, greeting: str, error: type[Exception] | None
) -> None:
    with raw_server("ftp", SERVED, replies={"": greeting}) as server:
        assert isinstance(end_of(quick_ota(folder, "ftp", server.port)), error or type(UPDATED))


def test_the_manifest_is_what_the_test_thinks() -> None:
    assert [entry["dst_path"] for entry in json.loads(SERVED["/manifest.json"])["new"]] == [
        "flash/long.bin"
    ]
