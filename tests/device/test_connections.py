"""Connections: kept where they may be, made anew where not, closed whatever happens."""

import builtins
import contextlib
import itertools
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from tests.device.conftest import raw_server, real_server
from tests.support.library import (
    OTA,
    Reset,
    files_below,
    ota_recovery,
    put,
    quick_ota,
)
from tests.support.raw_servers import CLOSE, ENDLESS, LAST, RESET, STALL, Change, at
from tests.support.trees import write_tree
from tests.support.update_tree import FIRMWARE, NEW, OLD, contents, manifest

import ota_connect  # isort: skip  (tests.support.library has put it within reach)
import ota_errors  # isort: skip
import ota_http  # isort: skip

pytestmark = pytest.mark.real

SERVED = contents(manifest(OLD, NEW, FIRMWARE), NEW, FIRMWARE)
FILE = "/1.0.1/flash/lib/added.py"
IMAGE = "/firmware_1.0.1.bin"
FINALLY_S = 0.02


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, OLD)
    return tmp_path


def wait_for_the_end(done_bytes: int, total_bytes: int, what: str) -> None:
    """Let what the server does after an answer arrive before the next request is sent."""
    time.sleep(FINALLY_S)


def updates(ota: OTA, folder: Path) -> None:
    with pytest.raises(Reset):
        ota.update()
    assert files_below(folder) == NEW


class TestKeptHTTP:
    def test_one_connection_for_all_files(self, folder: Path) -> None:
        with raw_server("http", SERVED) as server:
            updates(quick_ota(folder, "http", server.port), folder)
            assert len(server.requests) > 5
            assert server.connections == 1

    def test_one_connection_to_the_real_server(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = tmp_path / "releases"
        for version, tree in (("1.0.0", OLD), ("1.0.1", NEW)):
            write_tree(root / version, tree)
        made = []
        connection = ota_http.Connection

        def connected(*words: Any) -> Any:
            made.append(words)
            return connection(*words)

        monkeypatch.setattr(ota_http, "Connection", connected)
        with real_server(root, tmp_path / "state") as ports:
            updates(quick_ota(folder, "http", ports["http"], timeout_s=5), folder)
        assert len(made) == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: (data, LAST),
            lambda data: (data + b"HTTP/1.1 408 stray\r\n\r\n", LAST),
            lambda data: (data + b"\0" * 300, LAST),
            lambda data: (data.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), LAST),
            lambda data: (data.replace(b"OK\r\n", b"OK\r\nconnection: Close\r\n"), STALL),
            lambda data: (data.replace(b"HTTP/1.1", b"HTTP/1.0"), STALL),
        ],
        ids=["closed", "stray answer", "stray bytes", "said so", "not yet closed", "HTTP/1.0"],
    )
    def test_the_end_of_a_connection_is_no_failure(self, folder: Path, change: Change) -> None:
        with raw_server("http", SERVED, fault=at(FILE, change)) as server:
            ota = quick_ota(folder, "http", server.port, progress=wait_for_the_end)
            updates(ota, folder)
            assert server.connections == 2
            server.release_stalled()
        assert ota.board.waits_ms == []

    def test_a_connection_that_ends_as_it_is_used_again_costs_an_attempt(
        self, folder: Path
    ) -> None:
        with raw_server("http", SERVED, fault=at(FILE, lambda data: (b"", CLOSE), 1)) as server:
            ota = quick_ota(folder, "http", server.port)
            updates(ota, folder)
        assert len(ota.board.waits_ms) == 1

    @pytest.mark.parametrize("length", [b"0", b"1", b"9", b"11", b"5000"])
    def test_a_wrong_length_is_not_the_next_answer_s(self, folder: Path, length: bytes) -> None:
        right = b"Content-Length: %d" % len(NEW["flash/lib/added.py"])

        def change(data: bytes) -> tuple[bytes, str]:
            return data.replace(right, b"Content-Length: " + length), CLOSE

        with raw_server("http", SERVED, fault=at(FILE, change, 1)) as server:
            ota = quick_ota(folder, "http", server.port, progress=wait_for_the_end)
            with contextlib.suppress(Reset, ota_errors.IntegrityError):
                ota.update()
        with raw_server("http", SERVED) as server:
            if files_below(folder) == OLD:
                updates(quick_ota(folder, "http", server.port), folder)
        assert files_below(folder) == NEW


class TestBusyHTTP:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
    def test_it_is_asked_again_when_it_says(self, folder: Path, status: int) -> None:
        head = f"HTTP/1.1 {status} Later\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"
        fault = at(FILE, lambda data: (head.encode(), CLOSE), 1)
        with raw_server("http", SERVED, fault=fault) as server:
            ota = quick_ota(folder, "http", server.port)
            updates(ota, folder)
        assert ota.board.waits_ms == [9000]

    @pytest.mark.parametrize(
        "rest",
        [
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            b"Retry-After: 9999999999999\r\nContent-Length: 0\r\n\r\n",
            b"Content-Length: many\r\n\r\n",
        ],
        ids=["chunked", "gzip", "patient", "no length"],
    )
    def test_whatever_the_form_of_its_answer(self, folder: Path, rest: bytes) -> None:
        """A proxy says so in a page of its own, often chunked."""
        fault = at(FILE, lambda data: (b"HTTP/1.1 502 Bad Gateway\r\n" + rest, LAST), 1)
        with raw_server("http", SERVED, fault=fault) as server:
            updates(quick_ota(folder, "http", server.port), folder)

    @pytest.mark.parametrize("status", [101, 204, 301, 304, 400, 401, 403, 404, 410, 416])
    def test_any_other_status_is_final(self, folder: Path, status: int) -> None:
        head = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server("http", SERVED, fault=at(FILE, lambda data: (head, CLOSE))) as server:
            ota = quick_ota(folder, "http", server.port)
            with pytest.raises(ota_errors.ServerError, match=str(status)):
                ota.update()
        assert ota.board.waits_ms == []


def ftp_update(folder: Path, replies: Mapping[str, str | None]) -> None:
    with raw_server("ftp", SERVED, replies=replies) as server:
        quick_ota(folder, "ftp", server.port, attempts=1).update()


NO_EPSV = {"EPSV": "500 what?"}


class TestFTPReplies:
    @pytest.mark.parametrize(
        "text",
        [
            "(|||65536|)", "(|||99999|)", "(|||123456|)", "(|||\u00b2\u00b2|)", "(|||\u0661|)",
            "(|||-1|)", "(|||+1|)", "(|||1_0|)", "(||||)", "(|||0x10|)", "(|||1", "(1)", "()", "(",
            ")(", "|||{port}|", "(||{port}|)", "",
        ],
    )  # fmt: skip
    def test_epsv_without_a_port(self, folder: Path, text: str) -> None:
        with pytest.raises(ota_errors.ServerError):
            ftp_update(folder, {"EPSV": "229 passive " + text})
        assert files_below(folder) == OLD

    @pytest.mark.parametrize(
        "text",
        [
            "(1,2,3,4,256,1)", "(1,2,3,4,1,256)", "(1,2,3,4,99999,1)", "(1,2,3,4,1,\u00b2)",
            "(1,2,3,4,-1,5)", "(1,2,3,4,,)", "(1,2,3,4,5)", "(1,2,3,4,5,6,7)", "(,)", "()", "(",
            "1,2,3,4,{high}", "1,2,3,4,{high},{low}.", "",
        ],
    )  # fmt: skip
    def test_pasv_without_a_port(self, folder: Path, text: str) -> None:
        with pytest.raises(ota_errors.ServerError):
            ftp_update(folder, {**NO_EPSV, "PASV": "227 passive " + text})
        assert files_below(folder) == OLD

    @pytest.mark.parametrize(
        "replies",
        [
            {"EPSV": "229 passive (||| {port} |)"},
            {"EPSV": "229 passive (!!!{port}!)"},
            {**NO_EPSV, "PASV": "227 passive ( 1, 2, 3, 4, {high}, {low} )"},
            {**NO_EPSV, "PASV": "227 passive 1,2,3,4,{high},{low}"},
        ],
    )
    def test_what_still_is_a_port(self, folder: Path, replies: dict[str, str]) -> None:
        with pytest.raises(Reset):
            ftp_update(folder, replies)
        assert files_below(folder) == NEW

    @pytest.mark.parametrize("path", [FILE, IMAGE])
    def test_no_word_after_the_last_byte_loses_no_file(self, folder: Path, path: str) -> None:
        with raw_server("ftp", SERVED, replies={"done " + path: None}) as server:
            ota = quick_ota(folder, "ftp", server.port, attempts=1)
            updates(ota, folder)
        assert ota.board.waits_ms == []
        assert (folder / "slot1").read_bytes() == FIRMWARE

    def test_a_control_connection_that_ends_between_files(self, folder: Path) -> None:
        with raw_server("ftp", SERVED) as server:
            server.transfers_per_login = 3
            updates(quick_ota(folder, "ftp", server.port), folder)
            assert server.requests.count("USER anonymous") > 1

    def test_a_server_that_is_tired_of_waiting(self, folder: Path) -> None:
        """421 on a control connection that lay idle: RFC 959 lets a server say so at any time."""
        with raw_server("ftp", SERVED, replies={"done " + FILE: "226 done\r\n421 bye"}) as server:
            updates(quick_ota(folder, "ftp", server.port), folder)
            assert server.requests.count("USER anonymous") == 2


class Tracker:
    """Knows all files and sockets that were opened through it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[Any] = []
        module = SimpleNamespace(
            socket=self.tracked(socket.socket), getaddrinfo=socket.getaddrinfo
        )
        monkeypatch.setattr(ota_connect, "socket", module)
        monkeypatch.setattr(builtins, "open", self.tracked(open))

    def tracked(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def tracking(*words: Any, **options: Any) -> Any:
            self.opened.append(make(*words, **options))
            return self.opened[-1]

        return tracking

    def still_open(self) -> list[Any]:
        return [one for one in self.opened if not is_closed(one)]


def is_closed(one: Any) -> bool:
    return one.fileno() == -1 if isinstance(one, socket.socket) else one.closed


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Tracker:
    return Tracker(monkeypatch)


def endless(data: bytes) -> tuple[bytes, str]:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"
    return (head if data.startswith(b"HTTP") else b"") + b"x", ENDLESS


FAILURES: dict[str, Change] = {
    "nothing": lambda data: (b"", CLOSE),
    "short": lambda data: (data[: len(data) * 9 // 10], CLOSE),
    "reset": lambda data: (data[: len(data) // 2], RESET),
    "stall": lambda data: (data[: len(data) // 2], STALL),
    "flipped": lambda data: (data[:-1] + bytes([data[-1] ^ 1]), CLOSE),
    "endless": endless,
    "not found": lambda data: (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", CLOSE),
    "no HTTP": lambda data: (b"\0" * 5000, CLOSE),
}


class TestAllIsClosed:
    @pytest.mark.parametrize("path", ["/manifest.json", FILE, IMAGE])
    @pytest.mark.parametrize("change", FAILURES.values(), ids=FAILURES)
    def test_after_a_bad_answer(
        self, folder: Path, transport: str, tracker: Tracker, path: str, change: Change
    ) -> None:
        with raw_server(transport, SERVED, fault=at(path, change)) as server:
            ota = quick_ota(folder, transport, server.port, attempts=2)
            with pytest.raises(ota_errors.OTAError):
                ota.update()
            assert tracker.still_open() == []
            server.release_stalled()
        assert any(isinstance(one, socket.socket) for one in tracker.opened)

    @pytest.mark.parametrize("command", ["", "USER", "PASS", "TYPE", "EPSV", "RETR", "done"])
    @pytest.mark.parametrize("reply", ["421 bye", "530 no", "not ftp", None])
    def test_after_a_bad_reply(
        self, folder: Path, tracker: Tracker, command: str, reply: str | None
    ) -> None:
        # Without EPSV it would be PASV.
        with raw_server("ftp", SERVED, replies={"PASV": "530 no", command: reply}) as server:
            ota = quick_ota(folder, "ftp", server.port, attempts=2, timeout_s=0.05)
            with pytest.raises(ota_errors.OTAError):
                ota.update()
            assert tracker.still_open() == []

    def test_after_an_update(self, folder: Path, transport: str, tracker: Tracker) -> None:
        with raw_server(transport, SERVED) as server:
            updates(quick_ota(folder, transport, server.port), folder)
        assert tracker.still_open() == []

    def test_after_an_application_s_own_error(
        self, folder: Path, transport: str, tracker: Tracker
    ) -> None:
        def fail(done_bytes: int, total_bytes: int, what: str) -> None:
            raise KeyError(what)

        with raw_server(transport, SERVED) as server:
            with pytest.raises(KeyError):
                quick_ota(folder, transport, server.port, progress=fail).update()
            assert tracker.still_open() == []


class BadDisk:
    """Fails at one operation, counted from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails_at = self.count = 0
        monkeypatch.setattr(builtins, "open", self.counted(open, self.file))
        for name in ("mkdir", "remove", "rename", "rmdir"):
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))

    def counted(
        self, operation: Callable[..., Any], wrap: Callable[[Any], Any] = lambda result: result
    ) -> Callable[..., Any]:
        def counting(*words: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.fails_at:
                raise OSError(5, "the disk failed")
            return wrap(operation(*words, **options))

        return counting

    def file(self, opened: IO[Any]) -> "BadFile":
        return BadFile(self, opened)


class BadFile:
    readline: Callable[[], str]

    def __init__(self, disk: BadDisk, opened: IO[Any]) -> None:
        self.opened = opened
        for name in ("read", "readinto", "readline", "write", "flush"):
            if hasattr(opened, name):
                setattr(self, name, disk.counted(getattr(opened, name)))
        self.close, self.seek, self.tell = opened.close, opened.seek, opened.tell

    def __enter__(self) -> "BadFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")


def start_until_settled(folder: Path, action: str) -> None:
    """Start again as often as it takes, and do this with a release that is on trial."""
    for _ in range(9):
        ota = quick_ota(folder, "http", 9)
        try:
            if ota_recovery.recover(ota.board) == "trial":
                getattr(ota, action)()
            return
        except Reset:
            continue
    raise AssertionError("never came to rest")


FEW_OLD = {"flash/boot.py": b"import ota_boot\n", "flash/main.py": b"1\n", "flash/d/gone": b""}
FEW_NEW = {"flash/boot.py": b"import ota_boot\n", "flash/main.py": b"2\n", "sd/e/new": b"new"}
ENDS = [("confirm", [FEW_OLD, FEW_NEW]), ("rollback", [FEW_OLD])]
FEW_SERVED = contents(manifest(FEW_OLD, FEW_NEW), FEW_NEW)


def fail_at_each_operation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield the number of the operation that fails, after the update in which it does."""
    disk = BadDisk(monkeypatch)
    with raw_server("http", FEW_SERVED) as server:
        for fails_at in itertools.count(1):
            shutil.rmtree(folder, ignore_errors=True)
            put(folder, FEW_OLD)
            ota = quick_ota(folder, "http", server.port)
            disk.count, disk.fails_at = 0, fails_at
            with pytest.raises((Reset, ota_errors.StorageError)):
                ota.update()
            disk.fails_at = 0
            yield fails_at
            if disk.count < fails_at:
                return


def test_a_disk_that_fails_at_any_operation(
    tmp_path: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is closed, the error is the library's own, and no release is half there."""
    folder = tmp_path / "device"
    results = []
    for number in fail_at_each_operation(folder, monkeypatch):
        assert tracker.still_open() == []
        tracker.opened.clear()
        action, allowed = ENDS[number % 2]
        start_until_settled(folder, action)
        results.append(files_below(folder))
        assert results[-1] in allowed
    assert len(results) > 100
    assert FEW_NEW in results
