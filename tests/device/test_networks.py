"""Networks as they are: names with several addresses, proxies, portals, NATs, weak Wi-Fi."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import raw_server, real_server
from tests.device.test_limits import unanswered_port
from tests.support.device import Device
from tests.support.library import OTA, LinuxBoard, Reset, files_below, put, quick_ota, reset
from tests.support.raw_servers import CLOSE, ENDLESS, RESET, STALL, Change, RawHTTPServer, at
from tests.support.trees import write_tree
from tests.support.update_tree import FIRMWARE, NEW, OLD, contents, manifest

import ota_connect  # isort: skip  (tests.support.library has put it within reach)
import ota_errors  # isort: skip

pytestmark = pytest.mark.real

SERVED = contents(manifest(OLD, NEW, FIRMWARE), NEW, FIRMWARE)
FILE, IMAGE = "/1.0.1/flash/main.py", "/firmware_1.0.1.bin"
PAGE = b"<!DOCTYPE html><html><body>Please log in.</body></html>\n"
NAME = "ota.test"
CONFIG_ERROR = "ConfigError"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, OLD)
    return tmp_path


@pytest.fixture
def device(device: Device) -> Device:
    device.install(OLD, "1.0.0")
    return device


def updates(ota: OTA, folder: Path) -> None:
    with pytest.raises(Reset):
        ota.update()
    assert files_below(folder) == NEW


def error_of(ota: OTA) -> Exception:
    with pytest.raises(ota_errors.OTAError) as caught:
        ota.update()
    return caught.value


def boots_into_the_new(device: Device, **options: Any) -> None:
    boot = device.boot("update", timeout_s=2, **options)
    assert boot.was_reset, boot.lines
    device.boot("confirm")
    assert device.tree() == NEW


class ChangingServer(RawHTTPServer):
    """Sends what ``change`` makes of each answer's head and body, and keeps the connection."""

    change: Callable[[bytes, bytes], bytes]

    def deliver(self, connection: socket.socket, path: str, whole: bytes) -> bytes:
        head, _, body = whole.partition(b"\r\n\r\n")
        connection.sendall(self.change(head, body))
        return whole


def changing_server(change: Callable[[bytes, bytes], bytes]) -> ChangingServer:
    server = ChangingServer(SERVED)
    server.change = change
    return server


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[Any]:
    """Let NAME have these addresses; return a list that gets all that are connected to."""
    tried: list[Any] = []

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            if address not in tried:
                tried.append(address)
            super().connect(address)

    class Module:
        socket = Socket

        @staticmethod
        def getaddrinfo(host: str, port: int) -> list[Any]:
            names = addresses if host == NAME else [host]
            return [one for name in names for one in socket.getaddrinfo(name, port)]

    monkeypatch.setattr(ota_connect, "socket", Module)
    return tried


def named(ota: OTA, name: str = NAME) -> OTA:
    ota._client.place = (name, ota._client.place[1])
    return ota


class TestAddresses:
    def test_each_is_tried(
        self, folder: Path, transport: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried = resolving(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")
        with raw_server(transport, SERVED) as server:
            updates(named(quick_ota(folder, transport, server.port)), folder)
        assert [address[0] for address in tried[:3]] == ["::1", "127.0.0.2", "127.0.0.1"]
        # FTP's data comes from where the commands go.
        assert {address[0] for address in tried[3:]} <= {"127.0.0.1"}

    def test_each_is_tried_under_micropython_too(self, device: Device) -> None:
        with raw_server(device.transport, SERVED) as server:
            device.port = server.port
            boots_into_the_new(device, host=NAME, addresses="127.0.0.2,127.0.0.1")

    def test_one_that_does_not_answer_costs_its_time_out(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(raw_server("http", SERVED))
            silent = stack.enter_context(
                socket.create_server(("127.0.0.3", server.port), backlog=0)
            )
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(silent.getsockname())
            resolving(monkeypatch, "127.0.0.3", "127.0.0.1")
            start_s = time.monotonic()
            updates(named(quick_ota(folder, "http", server.port)), folder)
        assert 0.2 <= time.monotonic() - start_s < 3

    def test_the_last_error_is_told(
        self, folder: Path, transport: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        error = error_of(named(quick_ota(folder, transport, port, attempts=1)))
        assert isinstance(error, ota_errors.LinkError)
        assert f"no connection to {NAME}:{port}: [Errno 111]" in str(error)

    def test_a_name_without_any(
        self, folder: Path, transport: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stock ESP32 returns an empty list for a name that it can't resolve."""
        resolving(monkeypatch)
        error = error_of(named(quick_ota(folder, transport, 9, attempts=1)))
        assert isinstance(error, ota_errors.LinkError)
        assert str(error) == f"no connection to {NAME}:9: it has no address"

    @pytest.mark.parametrize(
        "host, header",
        [
            ("fe80::7%wlan0", "[fe80::7]"),
            ("fe80::7%3", "[fe80::7]"),
            ("2001:db8::7", "[2001:db8::7]"),
            ("ota.example.net", "ota.example.net"),
        ],
    )
    def test_the_zone_stays_here(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, host: str, header: str
    ) -> None:
        with raw_server("http", {"/manifest.json": b"null"}) as server:
            found = [(2, 1, 6, "", ("127.0.0.1", server.port))]
            monkeypatch.setattr(ota_connect.socket, "getaddrinfo", lambda host, port: found)
            ota = named(quick_ota(folder, "http", server.port), host)
            assert ota.update() is False
            assert server.heads[0]["host"] == f"{header}:{server.port}"


def chunks(head: bytes, body: bytes, size: int = 700, trailers: bytes = b"") -> bytes:
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-len")]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunked = b"".join(b"%X;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"\r\n".join([*lines, b"Transfer-Encoding: Chunked"])
    return head + b"\r\n\r\n" + chunked + b"000\r\n" + trailers + b"\r\n"


def until_close(head: bytes, body: bytes) -> bytes:
    return head.split(b"\r\nContent-Length")[0] + b"\r\nConnection: close\r\n\r\n" + body


def with_head(before: bytes = b"", line: bytes = b"") -> Callable[[bytes, bytes], bytes]:
    return lambda head, body: before + head + line + b"\r\n\r\n" + body


PROXIES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "chunked": chunks,
    "small chunks": lambda head, body: chunks(head, body, 3),
    "trailers": lambda head, body: chunks(head, body, 90_000, b"X: y\r\nContent-Length: 0\r\n"),
    "chunked with a length": lambda head, body: chunks(head, body).replace(
        b"\r\n", b"\r\nX-Content-Length: 3\r\n", 1
    ),
    "continue": with_head(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "processing, hints": with_head(
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    ),
    "4 KB line": with_head(line=b"\r\nContent-Security-Policy: " + b"a.example.net " * 290),
    "100 KB line": with_head(line=b"\r\nX: " + b"y" * 100_000),
    "no colon, not UTF-8": with_head(line=b"\r\nnonsense\r\nX: \xff\xfe\r\n\xff: y"),
    "length twice": lambda head, body: with_head(line=b"\r\ncontent-length: %d" % len(body))(
        head, body
    ),
    "lengths joined": lambda head, body: with_head()(
        head + b", %d" % len(body) if b"206" not in head else head, body
    ),
    "identity": with_head(line=b"\r\nContent-Encoding: identity"),
}


class TestProxies:
    @pytest.mark.parametrize("change", PROXIES.values(), ids=PROXIES)
    def test_answers(self, folder: Path, change: Callable[[bytes, bytes], bytes]) -> None:
        with changing_server(change) as server:
            ota = quick_ota(folder, "http", server.port)
            updates(ota, folder)
            assert server.connections == 1
        assert ota.board.waits_ms == []
        assert (folder / "slot1").read_bytes() == FIRMWARE

    @pytest.mark.parametrize("transport", ["http"])
    @pytest.mark.parametrize(
        "name", ["chunked", "continue", "4 KB line", "100 KB line", "length twice"]
    )
    def test_answers_to_a_device(self, device: Device, name: str) -> None:
        device.heap = "160k"
        with changing_server(PROXIES[name]) as server:
            device.port = server.port
            boots_into_the_new(device)

    @pytest.mark.parametrize("transport", ["http"])
    def test_a_body_that_ends_with_the_connection(self, device: Device) -> None:
        def fault(path: str, data: bytes) -> tuple[bytes, str]:
            head, _, body = data.partition(b"\r\n\r\n")
            return until_close(head, body), CLOSE

        with raw_server("http", SERVED, fault=fault) as server:
            device.port = server.port
            boots_into_the_new(device)

    def test_what_is_broken_off_is_resumed(self, folder: Path) -> None:
        broken = at(IMAGE, lambda data: (data[:14_000], RESET), 1)

        def fault(path: str, data: bytes) -> tuple[bytes, str]:
            head, _, body = data.partition(b"\r\n\r\n")
            return broken(path, chunks(head, body))

        with raw_server("http", SERVED, fault=fault) as server:
            updates(quick_ota(folder, "http", server.port), folder)
            assert [head["range"] for head in server.heads if "range" in head]
        assert (folder / "slot1").read_bytes() == FIRMWARE

    @pytest.mark.parametrize(
        "body, error",
        [
            (b"x\r\nabc\r\n0\r\n\r\n", "ServerError"),
            (b"-3\r\nabc\r\n0\r\n\r\n", "ServerError"),
            (b"0x3\r\nabc\r\n0\r\n\r\n", "ServerError"),
            (b"\r\nabc\r\n0\r\n\r\n", "ServerError"),
            (b"fffffffffffff\r\nabc", "ServerError"),
            (b"3\r\nabcd\r\n0\r\n\r\n", "ServerError"),
            (b"\xff\r\nabc\r\n0\r\n\r\n", "ServerError"),
            (b"3\r\nab", "LinkError"),
            (b"3\r\nabc\r\n", "LinkError"),
            (b"3", "LinkError"),
        ],
    )
    def test_bad_chunks(self, folder: Path, body: bytes, error: str) -> None:
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        with raw_server("http", SERVED, fault=at(FILE, lambda data: (answer, CLOSE))) as server:
            found = error_of(quick_ota(folder, "http", server.port, attempts=1))
        assert type(found).__name__ == error
        assert files_below(folder) == OLD

    @pytest.mark.parametrize(
        "start",
        [
            b"HTTP/1.1 200 OK\r\nX: y",
            b"HTTP/1.1 200 OK\r\nX: y\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
        ],
        ids=["line", "lines", "chunk", "trailers"],
    )
    def test_what_has_no_end(self, folder: Path, start: bytes) -> None:
        unit = start.split(b"\r\n")[-1] or b"X: y\r\n"

        def endless(data: bytes) -> tuple[bytes, str]:
            return start + unit * 60_000, ENDLESS

        with raw_server("http", SERVED, fault=at(FILE, endless)) as server:
            found = error_of(quick_ota(folder, "http", server.port, attempts=1, timeout_s=5))
        assert isinstance(found, ota_errors.ServerError)

    @pytest.mark.parametrize(
        "headers",
        [
            b"Content-Length: 3, 4",
            b"Content-Length: 3\r\nContent-Length: 4",
            b"Content-Length: 3,",
            b"Transfer-Encoding: gzip, chunked\r\nContent-Length: 3",
            b"Content-Encoding: gzip\r\nContent-Length: 3",
        ],
    )
    def test_what_can_not_be_read(self, folder: Path, headers: bytes) -> None:
        answer = b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\nabc"
        with raw_server("http", SERVED, fault=at(FILE, lambda data: (answer, CLOSE))) as server:
            assert isinstance(
                error_of(quick_ota(folder, "http", server.port)), ota_errors.ServerError
            )

    def test_announcements_without_an_answer(self, folder: Path) -> None:
        many = b"HTTP/1.1 100 Continue\r\n\r\n" * 500
        with raw_server("http", SERVED, fault=at(FILE, lambda data: (many, CLOSE))) as server:
            found = error_of(quick_ota(folder, "http", server.port))
        assert isinstance(found, ota_errors.ServerError)


def redirect(location: str, status: int = 302) -> Change:
    head = f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\ngone"
    return lambda data: (head.encode(), CLOSE)


@contextlib.contextmanager
def two_servers(change: Callable[[int], Change], path: str = FILE) -> Iterator[tuple[Any, Any]]:
    """One that redirects a path, and another, whose port ``change`` is given."""
    with (
        raw_server("http", SERVED) as other,
        raw_server("http", SERVED, fault=at(path, change(other.port))) as first,
    ):
        yield first, other


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("path", ["/manifest.json", FILE, IMAGE])
    def test_to_another_server(self, folder: Path, status: int, path: str) -> None:
        def change(port: int) -> Change:
            return redirect(f"http://127.0.0.1:{port}{path}#part", status)

        with two_servers(change, path) as (first, other):
            updates(quick_ota(folder, "http", first.port), folder)
            assert other.requests == [path]
            assert other.heads[0]["host"] == f"127.0.0.1:{other.port}"
            assert len(first.requests) > 5

    @pytest.mark.parametrize("transport", ["http"])
    def test_of_a_device(self, device: Device) -> None:
        with two_servers(lambda port: redirect(f"//127.0.0.1:{port}{FILE}")) as (first, other):
            device.port = first.port
            boots_into_the_new(device)
            assert other.requests == [FILE]

    @pytest.mark.parametrize(
        "location, asked",
        [
            ("/moved/main.py", "/moved/main.py"),
            ("main2.py", "/1.0.1/flash/main2.py"),
            ("./../flash/main2.py?a=/../b", "/1.0.1/flash/main2.py?a=/../b"),
            ("../../../x", "/x"),
            ("?token=1", FILE + "?token=1"),
            ("/a b\u00e9", "/a%20b%C3%A9"),
            ("/..", "/"),
            ("x/.", "/1.0.1/flash/x/"),
            ("HTTP://{}/y", "/y"),
            ("http://{}", "/"),
            ("http://{}?q", "/?q"),
            ("a/b:c", "/1.0.1/flash/a/b:c"),
        ],
    )
    def test_where_they_lead(self, folder: Path, location: str, asked: str) -> None:
        with raw_server("http", {**SERVED, asked: NEW["flash/main.py"]}) as server:
            server.fault = at(FILE, redirect(location.format(f"127.0.0.1:{server.port}")), 1)
            quick = quick_ota(folder, "http", server.port)
            with contextlib.suppress(Reset, ota_errors.OTAError):
                quick.update()
            at_first = server.requests.index(FILE)
            assert server.requests[at_first + 1] == asked

    @pytest.mark.parametrize("times, taken", [(3, True), (4, False)])
    def test_three_in_a_row(self, folder: Path, times: int, taken: bool) -> None:
        with raw_server("http", SERVED) as server:
            server.fault = at(FILE, redirect(FILE), times)
            ota = quick_ota(folder, "http", server.port, attempts=1)
            if taken:
                updates(ota, folder)
            else:
                assert "redirected too often" in str(error_of(ota))

    @pytest.mark.parametrize(
        "location",
        [
            "https://127.0.0.1/1.0.1/flash/main.py", "ftp://127.0.0.1/x", "file:///etc/passwd",
            "http:x", "http:", "mailto:x", "http://", "http:///x", "http://user@127.0.0.1/x",
            "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/",
            "http://::1/x", "http://[::1/x", "http://a b/x", "//", "http://h/" + "x" * 1000,
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "status, error", [(302, ota_errors.LinkError), (301, ota_errors.ServerError)]
    )
    def test_where_it_does_not_go(
        self, folder: Path, location: str, status: int, error: type[Exception]
    ) -> None:
        fault = at(FILE, redirect(location, status))
        with raw_server("http", SERVED, fault=fault) as server:
            found = error_of(quick_ota(folder, "http", server.port, attempts=1))
        assert type(found) is error
        assert "redirected to" in str(found)
        assert files_below(folder) == OLD

    def test_what_it_leads_to_must_be_what_was_asked_for(self, folder: Path) -> None:
        with raw_server("http", SERVED) as server:
            server.fault = at(FILE, redirect("/1.0.1/flash/lib/added.py"))
            found = error_of(quick_ota(folder, "http", server.port))
        assert isinstance(found, ota_errors.IntegrityError | ota_errors.LinkError)
        assert files_below(folder) == OLD

    def test_a_part_is_asked_for_there_too(self, folder: Path) -> None:
        with two_servers(lambda port: redirect(f"http://127.0.0.1:{port}{IMAGE}"), IMAGE) as (
            first,
            other,
        ):
            other.fault = at(IMAGE, lambda data: (data[:9_000], RESET), 1)
            updates(quick_ota(folder, "http", first.port), folder)
            assert other.heads[1]["range"].startswith("bytes=")


def portal(data: bytes) -> tuple[bytes, str]:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
    )
    return head % len(PAGE) + PAGE, CLOSE


def untyped_portal(data: bytes) -> tuple[bytes, str]:
    return b"HTTP/1.0 200 OK\r\n\r\n  \r\n" + PAGE, CLOSE


class TestPortals:
    @pytest.mark.parametrize("change", [portal, untyped_portal])
    @pytest.mark.parametrize("transport", ["http"])
    def test_its_page_is_no_manifest(self, device: Device, change: Change) -> None:
        with raw_server("http", SERVED, fault=at("/manifest.json", change)) as server:
            device.port = server.port
            boot = device.boot("update", timeout_s=1, attempts=2)
            assert len(server.requests) == 2
        assert boot.last("error").startswith("LinkError ")
        assert "web page" in boot.last("error")
        assert "captive portal" in boot.last("error")
        assert device.tree() == OLD

    def test_a_page_over_ftp(self, folder: Path) -> None:
        with raw_server("ftp", {"/manifest.json": PAGE}) as server:
            found = error_of(quick_ota(folder, "ftp", server.port, attempts=1))
        assert isinstance(found, ota_errors.LinkError)

    @pytest.mark.parametrize("change", [portal, redirect("http://127.0.0.1:{}/login")])
    def test_what_has_arrived_outlives_it(self, folder: Path, change: Change) -> None:
        answers = [lambda data: (data[:15_000], RESET), portal]

        def fault(path: str, data: bytes) -> tuple[bytes, str]:
            if path == IMAGE and answers:
                return answers.pop(0)(data)
            return data, CLOSE

        with raw_server("http", SERVED, fault=fault) as server:
            updates(quick_ota(folder, "http", server.port), folder)
            parts = [head["range"] for head in server.heads if "range" in head]
        assert len(parts) == 2
        assert parts[0] == parts[1]

    def test_a_redirect_to_its_page(self, folder: Path) -> None:
        with raw_server("http", {"/login": PAGE}) as login:
            login.fault = at("/login", portal)
            fault = at("/manifest.json", redirect(f"http://127.0.0.1:{login.port}/login"), 1)
            with raw_server("http", SERVED, fault=fault) as server:
                ota = quick_ota(folder, "http", server.port)
                updates(ota, folder)
        assert len(ota.board.waits_ms) == 1

    def test_a_page_may_be_in_a_release(self, folder: Path) -> None:
        new = {**NEW, "flash/www/index.html": PAGE}
        served = contents(manifest(OLD, new), new)
        page = at("/1.0.1/flash/www/index.html", portal)
        with raw_server("http", served, fault=page) as server, pytest.raises(Reset):
            quick_ota(folder, "http", server.port).update()
        assert files_below(folder) == new


class TestPassiveFTP:
    CLOSED = {"EPSV": "229 passive (|||1|)"}

    def test_pasv_where_the_port_of_epsv_is_closed(self, device: Device) -> None:
        if device.transport == "http":
            return
        with raw_server("ftp", SERVED, replies=self.CLOSED) as server:
            device.port = server.port
            boots_into_the_new(device)
            # It is not tried again for each file.
            assert server.requests.count("EPSV") == 1

    def test_another_session_begins_with_epsv_again(self, folder: Path) -> None:
        with raw_server("ftp", SERVED, replies=self.CLOSED) as server:
            server.served = {"/manifest.json": b"null"}
            ota = quick_ota(folder, "ftp", server.port)
            assert ota.update() is False
            assert ota.update() is False
            assert server.requests.count("EPSV") == 2

    def test_neither(self, folder: Path) -> None:
        replies = {**self.CLOSED, "PASV": "227 passive (127,0,0,1,0,1)"}
        with raw_server("ftp", SERVED, replies=replies) as server:
            found = error_of(quick_ota(folder, "ftp", server.port, attempts=2))
            assert server.requests.count("EPSV") == 2
        assert isinstance(found, ota_errors.LinkError)


PRODUCTS = {
    "lopy4": "/lopy4", "/lopy4/": "/lopy4", "a/b": "/a/b", "my meter": "/my%20meter",
    "100%": "/100%25", "gr\u00f6\u00dfe": "/gr%C3%B6%C3%9Fe", "a+b&c#d": "/a%2Bb%26c%23d",
    "x\r\nHost: y": "/x%0D%0AHost%3A%20y",
}  # fmt: skip


class TestProduct:
    @pytest.mark.parametrize("product", PRODUCTS)
    def test_is_quoted(self, folder: Path, product: str) -> None:
        with raw_server("http", {}) as server:
            error_of(quick_ota(folder, "http", server.port, product=product))
            assert server.requests == [PRODUCTS[product] + "/manifest.json?current_ver=1.0.0"]

    def test_is_found_by_the_real_server(
        self, folder: Path, tmp_path: Path, transport: str
    ) -> None:
        product = "my gr\u00f6\u00dfte meter 100%"
        root = tmp_path / "releases"
        for version, tree in (("1.0.0", OLD), ("1.0.1", NEW)):
            write_tree(root / product / version, tree)
        with real_server(root, tmp_path / "state") as ports:
            ota = quick_ota(folder, transport, ports[transport], timeout_s=5, product=product)
            updates(ota, folder)


class TestRetries:
    @staticmethod
    def joining(ota: OTA, errors: list[Exception | None]) -> list[object]:
        joined: list[object] = []

        def connect_wifi(*words: object) -> None:
            joined.append(words)
            error = errors.pop(0) if errors else None
            if error:
                raise error

        ota.board.connect_wifi = connect_wifi
        return joined

    def test_the_wifi_is_joined_before_each(self, folder: Path, transport: str) -> None:
        broken = at("/manifest.json", lambda data: (data[:30], CLOSE), 2)
        with raw_server(transport, SERVED, fault=broken) as server:
            ota = quick_ota(folder, transport, server.port)
            joined = self.joining(ota, [])
            updates(ota, folder)
        assert len(joined) == 3

    def test_a_wifi_that_comes_back_late(self, folder: Path, transport: str) -> None:
        broken = at(FILE, lambda data: (data[:30], CLOSE), 1)
        with raw_server(transport, SERVED, fault=broken) as server:
            ota = quick_ota(folder, transport, server.port, attempts=4)
            joined = self.joining(ota, [None, OSError("away"), RuntimeError("away"), None])
            updates(ota, folder)
        assert len(joined) == 4
        assert len(ota.board.waits_ms) == 3

    def test_one_that_stays_away_ends_the_attempts(self, folder: Path, transport: str) -> None:
        broken = at(FILE, lambda data: (data[:30], CLOSE))
        with raw_server(transport, SERVED, fault=broken) as server:
            ota = quick_ota(folder, transport, server.port, attempts=4)
            joined = self.joining(ota, [None, *[OSError("away")] * 9])
            found = error_of(ota)
        assert isinstance(found, ota_errors.LinkError)
        assert str(found) == "no connection to net: away"
        assert len(joined) == 4


MISTAKES: dict[str, dict[str, Any]] = {
    "no host": {"host": ""},
    "no host at all": {"host": None},
    "url": {"host": "http://127.0.0.1"},
    "path": {"host": "127.0.0.1/releases"},
    "host and port": {"host": "127.0.0.1:8000"},
    "space": {"host": "ota example"},
    "brackets": {"host": "[::1]"},
    "empty label": {"host": "ota..net"},
    "long label": {"host": "o" * 64 + ".net"},
    "long name": {"host": "ota." * 70},
    "port 0": {"port": 0},
    "port too high": {"port": 65536},
    "no port": {"port": None},
    "port no number": {"port": "http"},
    "half a port": {"port": 80.5},
    "no time": {"timeout_s": 0},
    "no time-out": {"timeout_s": None},
    "no attempts": {"attempts": None},
    "product": {"product": 5},
    "device": {"device": b"meter"},
}


class TestMistakes:
    @pytest.mark.parametrize("settings", MISTAKES.values(), ids=MISTAKES)
    def test_are_no_broken_link(
        self, folder: Path, transport: str, settings: dict[str, Any]
    ) -> None:
        settings = dict(settings)
        host, port = settings.pop("host", "127.0.0.1"), settings.pop("port", 9)
        ota = quick_ota(folder, transport, port, **settings)
        ota._client.place = (host, port)
        joined = TestRetries.joining(ota, [])
        assert type(error_of(ota)).__name__ == CONFIG_ERROR
        assert joined == []
        assert ota.board.waits_ms == []
        # What needs no network goes on working.
        assert ota.confirm() is False
        assert ota.outcome() is None

    @pytest.mark.parametrize("host", ["http://h", "a:1", ""])
    def test_on_a_device(self, device: Device, host: str) -> None:
        assert device.boot("update", host=host).last("error").startswith(CONFIG_ERROR)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    @pytest.mark.parametrize("as_text", [False, True])
    def test_what_is_none(self, folder: Path, host: str, as_text: bool) -> None:
        with raw_server("http", {"/manifest.json": b"null"}) as server:
            ota = quick_ota(folder, "http", server.port)
            ota._client.place = (host, str(server.port) if as_text else server.port)
            assert ota.update() is False

    @pytest.mark.parametrize("error", [TypeError("can't convert"), ValueError("bad ssid")])
    def test_a_network_name_that_the_board_refuses(
        self, folder: Path, transport: str, error: Exception
    ) -> None:
        ota = quick_ota(folder, transport, 9)
        TestRetries.joining(ota, [error])
        assert type(error_of(ota)).__name__ == CONFIG_ERROR

    @pytest.mark.parametrize("words", [{"user": "a\nb"}, {"login_password": "\r"}, {"user": 5}])
    def test_a_login_that_is_no_argument(self, folder: Path, words: dict[str, Any]) -> None:
        ota = quick_ota(folder, "ftp", 9, **words)
        assert type(error_of(ota)).__name__ == CONFIG_ERROR


class TestWatchdog:
    """It is fed each second of a wait, so that five seconds are enough for it."""

    def test_while_a_server_is_silent(self, device: Device) -> None:
        silent = at("/manifest.json", lambda data: (b"", STALL))
        with raw_server(device.transport, SERVED, fault=silent) as server:
            device.port = server.port
            boot = device.boot("update", timeout_s=3, attempts=1)
            server.release_stalled()
        assert boot.last("error") == "LinkError the server fell silent"
        assert int(boot.last("fed")) >= 4

    def test_while_it_connects(self, device: Device) -> None:
        with unanswered_port() as port:
            device.port = port
            boot = device.boot("update", timeout_s=3, attempts=1)
        assert boot.last("error").startswith("LinkError no connection to 127.0.0.1")
        assert int(boot.last("fed")) >= 4

    def test_on_ports_whose_poll_does_not_wait_for_a_connection(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An older RP2: ready at once, and EALREADY until EISCONN says that it is connected."""
        codes = [115, *[114] * 20, 106]
        resolve = socket.getaddrinfo

        class Socket(socket.socket):
            def connect(self, address: Any) -> None:
                if len(codes) == 22:
                    super().setblocking(True)
                    super().connect(address)
                    super().setblocking(False)
                if codes:
                    raise OSError(codes.pop(0))

        class Module:
            socket = Socket
            getaddrinfo = staticmethod(resolve)

        monkeypatch.setattr(ota_connect, "socket", Module)
        with raw_server("http", {"/manifest.json": b"null"}) as server:
            ota = quick_ota(folder, "http", server.port, timeout_s=5)
            fed: list[int] = []
            ota.board.feed_watchdog = lambda: fed.append(len(codes))
            assert ota.update() is False
        assert len({left for left in fed if 0 < left < 22}) >= 19

    def test_while_linux_sleeps(self, tmp_path: Path) -> None:
        board = LinuxBoard(str(tmp_path), reset)
        fed = []
        board.feed_watchdog = lambda: fed.append(time.monotonic())
        start_s = time.monotonic()
        board.sleep_ms(1500)
        assert len(fed) == 2
        assert time.monotonic() - start_s >= 1.5
