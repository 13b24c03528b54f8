"""Servers and links that misbehave: the old release stays, and memory stays bounded."""

from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import raw_server
from tests.support.device import Device
from tests.support.library import files_below, put, quick_ota
from tests.support.raw_servers import CLOSE, ENDLESS, RESET, STALL, Change, Fault, at, honest
from tests.support.update_tree import FIRMWARE, NEW, OLD, contents, manifest

import ota_errors  # isort: skip  (tests.support.library has put it within reach)

pytestmark = pytest.mark.real

# MicroPython runs these with so little memory that nothing unbounded goes unnoticed.
HEAP = "160k"
QUICK = {"timeout_s": 1, "attempts": 2}
SERVED = contents(manifest(OLD, NEW, FIRMWARE), NEW, FIRMWARE)
FILE = "/1.0.1/flash/main.py"
LONG_FILE = "/1.0.1/sd/data.bin"
IMAGE = "/firmware_1.0.1.bin"


@pytest.fixture
def device(device: Device) -> Device:
    device.heap = HEAP
    device.install(OLD, "1.0.0")
    return device


def flipped(data: bytes) -> tuple[bytes, str]:
    return data[:-1] + bytes([data[-1] ^ 1]), CLOSE


def cut(ending: str, keep: float) -> Change:
    return lambda data: (data[: int(len(data) * keep)], ending)


def failed_update(device: Device, error: str, fault: Fault = honest, **options: Any) -> None:
    """Update, which has to fail with this error; then check that nothing is lost."""
    with raw_server(device.transport, SERVED, fault=fault, **options) as server:
        device.port = server.port
        boot = device.boot("update", **QUICK)
    assert boot.all("error"), boot.lines
    assert boot.last("error").startswith(error), boot.lines
    check_untouched(device)


def check_untouched(device: Device) -> None:
    assert device.tree() == OLD
    with raw_server(device.transport, SERVED) as server:
        device.port = server.port
        assert device.boot("update").was_reset
    device.boot("confirm")
    assert device.tree() == NEW


@pytest.mark.parametrize("path", ["/manifest.json", FILE, IMAGE])
@pytest.mark.parametrize(
    "change, errors",
    [
        (cut(CLOSE, 0.9), {"LinkError"}),
        (cut(RESET, 0.0), {"LinkError"}),
        (cut(RESET, 0.5), {"LinkError"}),
        (cut(STALL, 0.3), {"LinkError"}),
    ],
    ids=["short", "reset-at-once", "reset", "stall"],
)
def test_broken_off(device: Device, path: str, change: Change, errors: set[str]) -> None:
    with raw_server(device.transport, SERVED, fault=at(path, change)) as server:
        device.port = server.port
        boot = device.boot("update", **QUICK)
    assert boot.last("error").split()[0] in errors, boot.lines
    check_untouched(device)


@pytest.mark.parametrize("path", [FILE, IMAGE])
def test_wrong_hash(device: Device, path: str) -> None:
    failed_update(device, "IntegrityError", at(path, flipped))


def test_wrong_manifest_byte(device: Device) -> None:
    failed_update(device, "ManifestError", at("/manifest.json", flipped))


@pytest.mark.parametrize("path", ["/manifest.json", FILE, IMAGE])
def test_endless_body(device: Device, path: str) -> None:
    """The device stops by itself: at the manifest's limit, or at the file's size."""

    def change(data: bytes) -> tuple[bytes, str]:
        if device.transport == "http":
            body = data.partition(b"\r\n\r\n")[2]
            data = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n" + body
        # Spaces go on for ever without making a manifest any less JSON.
        return data + b" ", ENDLESS

    expected = "ManifestError" if path == "/manifest.json" else "IntegrityError"
    failed_update(device, expected, at(path, change))


@pytest.mark.parametrize("path", [FILE, IMAGE])
def test_resumes_a_broken_download(device: Device, path: str) -> None:
    with raw_server(device.transport, SERVED, fault=at(path, cut(RESET, 0.7), 1)) as server:
        device.port = server.port
        boot = device.boot("update", **QUICK)
        assert boot.was_reset, boot.lines
        assert server.sent_bytes < sum(map(len, SERVED.values())) * 1.2
    device.boot("confirm")
    assert device.tree() == NEW


def test_resumes_after_a_reboot(device: Device) -> None:
    failing = at(IMAGE, cut(RESET, 0.8))
    with raw_server(device.transport, SERVED, fault=failing) as server:
        device.port = server.port
        assert device.boot("update", **QUICK).last("error").startswith("LinkError")
    with raw_server(device.transport, SERVED) as server:
        device.port = server.port
        assert device.boot("update").was_reset
        manifest_size = len(SERVED["/manifest.json"])
        assert server.sent_bytes < manifest_size + len(FIRMWARE) * 0.7
    device.boot("confirm")
    assert device.slot("slot1") == FIRMWARE


def test_a_file_is_resumed_after_a_reboot(device: Device) -> None:
    """Not only the firmware: what was kept of a file is not sent again."""
    with raw_server(device.transport, SERVED, fault=at(LONG_FILE, cut(CLOSE, 0.8))) as server:
        device.port = server.port
        assert device.boot("update", **QUICK).last("error").startswith("LinkError")
    sent = []

    def count(data: bytes) -> tuple[bytes, str]:
        sent.append(len(data))
        return data, CLOSE

    with raw_server(device.transport, SERVED, fault=at(LONG_FILE, count)) as server:
        device.port = server.port
        assert device.boot("update").was_reset
    assert sum(sent) < len(NEW["sd/data.bin"]) * 0.6
    device.boot("confirm")
    assert device.tree() == NEW


@pytest.mark.parametrize("interpreter", ["micropython"])
@pytest.mark.parametrize("kind", ["OSError", "RuntimeError"])
def test_network_that_cannot_be_joined(device: Device, kind: str) -> None:
    with raw_server(device.transport, SERVED) as server:
        device.port = server.port
        boot = device.boot("update", wifi_error=kind, **QUICK)
        assert boot.last("error") == "LinkError no connection to network: no network in reach"
        assert server.requests == []
    check_untouched(device)


def test_what_was_kept_is_not_trusted(device: Device) -> None:
    """A part that went bad on flash costs a second download, not the update."""
    with raw_server(device.transport, SERVED, fault=at(IMAGE, cut(RESET, 0.8))) as server:
        device.port = server.port
        device.boot("update", **QUICK)
    kept = device.folder / "slot1"
    kept.write_bytes(kept.read_bytes()[:-1] + b"\0")
    check_untouched(device)


@pytest.mark.parametrize("transport", ["http"])
class TestHTTP:
    @pytest.mark.parametrize(
        "answer, error",
        [
            (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "LinkError"),
            (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "ServerError"),
            (b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "LinkError"),
            (b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\n\r\n", "ServerError"),
            (b"HTTP/1.1 206 Part\r\nContent-Range: bytes 7-9/10\r\n\r\nabc", "ServerError"),
            (b"HTTP/1.1 206 Part\r\nContent-Length: 3\r\n\r\nabc", "ServerError"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "ServerError"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", "ServerError"),
            (b"SSH-2.0-OpenSSH\r\n", "ServerError"),
            (b"\0" * 5000, "ServerError"),
            (b"", "LinkError"),
        ],
    )
    @pytest.mark.parametrize("path", ["/manifest.json", FILE])
    def test_wrong_answers(self, device: Device, path: str, answer: bytes, error: str) -> None:
        failed_update(device, error, at(path, lambda data: (answer, CLOSE)))

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\n\r\nno length",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    )
    @pytest.mark.parametrize(
        "path, error", [("/manifest.json", "ManifestError"), (FILE, "LinkError")]
    )
    def test_too_little(self, device: Device, path: str, answer: bytes, error: str) -> None:
        failed_update(device, error, at(path, lambda data: (answer, CLOSE)))

    @pytest.mark.parametrize("unit", [b"X: y\r\n", b"x"], ids=["headers", "one header"])
    def test_endless_head(self, device: Device, unit: bytes) -> None:
        def change(data: bytes) -> tuple[bytes, str]:
            return b"HTTP/1.1 200 OK\r\n" + unit * 200_000, CLOSE

        failed_update(device, "ServerError", at(FILE, change))

    def test_wrong_content_range_on_resume(self, device: Device) -> None:
        def change(data: bytes) -> tuple[bytes, str]:
            if data.startswith(b"HTTP/1.1 206"):
                return data.replace(b"bytes ", b"bytes 1"), CLOSE
            return data[:1500], RESET

        failed_update(device, "ServerError", at(FILE, change))

    def test_ignored_range(self, device: Device) -> None:
        with raw_server("http", SERVED, fault=at(FILE, cut(RESET, 0.7), 1)) as server:
            server.ranges = False
            device.port = server.port
            assert device.boot("update", **QUICK).was_reset
        device.boot("confirm")
        assert device.tree() == NEW

    def test_busy_server_says_when(self, device: Device) -> None:
        busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        with raw_server("http", SERVED, fault=at(FILE, lambda data: (busy, CLOSE), 1)) as server:
            device.port = server.port
            boot = device.boot("update", **QUICK)
        assert boot.was_reset
        assert "waits 7000 ms" in boot.all("log")


@pytest.mark.parametrize("transport", ["ftp"])
class TestFTP:
    @pytest.mark.parametrize(
        "replies, error",
        [
            ({"": "421 busy"}, "LinkError"),
            ({"": "not ftp"}, "ServerError"),
            ({"": "220-" + "more\r\n" * 5000}, "ServerError"),
            ({"": "220 " + "x" * 100_000}, "ServerError"),
            ({"USER": "530 no"}, "ServerError"),
            ({"PASS": "530 no"}, "ServerError"),
            ({"RETR": "550 There is no such file."}, "ServerError"),
            ({"RETR": "450 busy"}, "LinkError"),
            ({"EPSV": "229 nonsense"}, "ServerError"),
            ({"EPSV": "229 (|||1|)", "PASV": "227 (127,0,0,1,0,1)"}, "LinkError"),
            ({"EPSV": "229 (|||99999|)"}, "ServerError"),
            ({"EPSV": "500 what?", "PASV": "227 nonsense"}, "ServerError"),
            ({"done": "426 broke off"}, "LinkError"),
            ({"done": ""}, "ServerError"),
            ({"TYPE": "504 no"}, "ServerError"),
        ],
    )
    def test_wrong_replies(self, device: Device, replies: dict[str, str], error: str) -> None:
        failed_update(device, error, replies=replies)

    @pytest.mark.parametrize("replies", [{"EPSV": "500 what?"}, {"REST": "502 no"}])
    def test_poorer_servers(self, device: Device, replies: dict[str, str]) -> None:
        """PASV where there is no EPSV, and only the port of it; no REST."""
        fault = at(FILE, cut(RESET, 0.7), 1)
        with raw_server("ftp", SERVED, fault=fault, replies=replies) as server:
            device.port = server.port
            assert device.boot("update", **QUICK).was_reset
        device.boot("confirm")
        assert device.tree() == NEW

    def test_server_that_calls_half_a_file_whole(self, device: Device) -> None:
        fault = at(FILE, cut(CLOSE, 0.5))
        failed_update(device, "LinkError", fault, replies={"done": "226 done"})

    def test_server_that_calls_half_a_manifest_whole(self, device: Device) -> None:
        fault = at("/manifest.json", cut(CLOSE, 0.5))
        failed_update(device, "ManifestError", fault, replies={"done": "226 done"})

    @pytest.mark.parametrize("path", [FILE, LONG_FILE, IMAGE])
    def test_failure_after_the_last_byte_loses_no_file(self, device: Device, path: str) -> None:
        with raw_server("ftp", SERVED, replies={"done " + path: "426 broke off"}) as server:
            device.port = server.port
            boot = device.boot("update", timeout_s=5, attempts=1)
        assert boot.was_reset, boot.lines
        device.boot("confirm")
        assert device.tree() == NEW
        assert device.slot("slot1") == FIRMWARE

    def test_login(self, device: Device) -> None:
        with raw_server("ftp", SERVED) as server:
            device.port = server.port
            device.boot("update", user="meter", login_password="s3cret")
            assert server.requests[:2] == ["USER meter", "PASS s3cret"]

    def test_one_login_for_all_files(self, device: Device) -> None:
        with raw_server("ftp", SERVED) as server:
            device.port = server.port
            device.boot("update")
            assert [word for word in server.requests if word.startswith("USER")] == [
                "USER anonymous"
            ]


class TestWiFi:
    @pytest.mark.parametrize("error", [OSError(110), OSError("not there"), RuntimeError("busy")])
    def test_a_network_that_can_t_be_joined(
        self, tmp_path: Path, transport: str, error: Exception
    ) -> None:
        put(tmp_path, OLD)
        asked = []

        def connect_wifi(*words: object) -> None:
            asked.append(words)
            raise error

        ota = quick_ota(tmp_path, transport, 9, timeout_s=7)
        ota.board.connect_wifi = connect_wifi
        with pytest.raises(ota_errors.LinkError, match="no connection to net: "):
            ota.update()
        assert asked == [("net", "pw", 21)]
        assert files_below(tmp_path) == OLD
