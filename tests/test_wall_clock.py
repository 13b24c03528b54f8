"""The wall clock is set, in either direction, while the server works: only dates may show it."""

import contextlib
import email.utils
import ftplib
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.base import ReactorBase

from otaserver.clock import make_steady
from tests.ftp.site import TIMEOUTS, Site
from tests.support.http import NOW_S, Bench
from tests.support.process import LOOPBACK, Server, running_server, wait_until
from tests.support.trees import SMALL_TREE, write_tree
from tests.support.wall_clock import WallClock

HOUR_S = 3600
BOTH_WAYS = pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, -NOW_S], ids=str)


class Reactor(ReactorBase):
    """A reactor without a file descriptor, on clocks that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_s, self.monotonic_s = float(NOW_S), 50.0
        self.seconds = lambda: self.wall_s

    def installWaker(self) -> None:
        pass

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds
        self.runUntilCurrent()


class TestReactor:
    @BOTH_WAYS
    def test_calls_are_made_on_time_whenever_they_were_scheduled(self, jump_s: int) -> None:
        reactor, made = Reactor(), list[str]()
        reactor.callLater(10, made.append, "before it is steady")
        make_steady(reactor, lambda: reactor.monotonic_s)
        reactor.callLater(10, made.append, "before the jump")
        reactor.wall_s += jump_s
        reactor.callLater(10, made.append, "after it")
        reactor.pass_s(9.9)
        assert made == []
        assert reactor.timeout() == pytest.approx(0.1)
        reactor.pass_s(0.2)
        assert made == ["before it is steady", "before the jump", "after it"]

    def test_making_it_steady_again_changes_nothing(self) -> None:
        reactor = Reactor()
        make_steady(reactor, lambda: reactor.monotonic_s)
        reactor.wall_s += HOUR_S
        make_steady(reactor, lambda: reactor.monotonic_s)
        assert reactor.seconds() == NOW_S


class TestInMemory:
    @BOTH_WAYS
    def test_http_times_out_as_ever_and_dates_follow(self, small_tree: Path, jump_s: int) -> None:
        bench = Bench(small_tree)
        client, silent = bench.client(), bench.client()
        assert client.ask("/manifest.json").status == 200
        bench.ahead_s += jump_s
        bench.pass_s(29)
        assert not silent.is_closing
        answer = client.ask("/manifest.json")
        date_s = email.utils.parsedate_to_datetime(answer.fields["Date"]).timestamp()
        assert date_s == NOW_S + jump_s + 29
        bench.pass_s(2)
        assert silent.is_closing

    @BOTH_WAYS
    def test_a_stall_over_http_is_as_long_as_ever(self, tmp_path: Path, jump_s: int) -> None:
        bench = Bench(write_tree(tmp_path / "tree", {"1.0/flash/large": bytes(1_000_000)}))
        client = bench.client()
        client.wire.is_stalled = True
        client.send(b"GET /1.0/flash/large HTTP/1.1\r\nHost: h\r\n\r\n")
        bench.pass_s(1)
        bench.ahead_s += jump_s
        # What was written first counts as taken, and may be unread.
        first_s = client.channel.outgoing.delivery().arrived_bytes // bench.timeouts.min_rate
        bench.pass_s(first_s + 58)
        assert not client.wire.aborted
        bench.pass_s(3)
        assert client.wire.aborted

    @BOTH_WAYS
    def test_an_ftp_session_lives_and_ends_as_ever(self, small_tree: Path, jump_s: int) -> None:
        with contextlib.closing(Site(small_tree)) as site:
            client, silent = site.log_in(), site.log_in()
            site.ahead_s += jump_s
            site.pass_time(TIMEOUTS.idle_s - 1)
            assert client.code("NOOP") == 200
            assert silent.is_connected
            site.pass_time(2)
            assert client.is_connected
            assert silent.replies()[-1].startswith("421")

    @BOTH_WAYS
    def test_how_long_it_took_has_no_jump_in_it(self, small_tree: Path, jump_s: int) -> None:
        with contextlib.closing(Site(small_tree)) as site:
            client = site.log_in()
            data = client.open()
            client.ask("RETR firmware_1.0.1.bin")
            site.pass_time(3)
            site.ahead_s += jump_s
            data.take()
            (event,) = site.events
            assert event.took_s == pytest.approx(3)
            assert event.ended_s == site.wall_s()

    def test_a_listing_has_a_year_where_the_wall_clock_wants_one(self, small_tree: Path) -> None:
        with contextlib.closing(Site(small_tree)) as site:
            client = site.log_in()
            changed_s = (small_tree / "firmware_1.0.1.bin").stat().st_mtime
            site.ahead_s = changed_s + 10 - site.clock.seconds()
            assert b":" in client.fetch("LIST firmware_1.0.1.bin")
            site.ahead_s += 366 * 24 * HOUR_S
            assert b":" not in client.fetch("LIST firmware_1.0.1.bin")


@dataclass
class Clocked:
    """A server in a process, with its tree and its wall clock."""

    server: Server
    root: Path
    clock: WallClock


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[Callable[..., Clocked]]:
    """Starts such a server, with options."""
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> Clocked:
            root = write_tree(tmp_path / "tree", {**SMALL_TREE, "large.bin": bytes(20_000_000)})
            clock = WallClock(tmp_path / "ahead_s")
            running = running_server(root, tmp_path / "state", *options, added=clock.environment())
            server = stack.enter_context(running)
            # It may not have settled yet.
            wait_until(lambda: is_served(server, "large.bin"))
            return Clocked(server, root, clock)

        yield start


def is_served(server: Server, path: str) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):
        head = urllib.request.Request(f"{server.http_url}/{path}", method="HEAD")
        urllib.request.urlopen(head, timeout=10).close()
        return True
    return False


def newest(server: Server) -> str:
    with urllib.request.urlopen(f"{server.http_url}/manifest.json", timeout=10) as answer:
        version: str = json.load(answer)["version"]
        return version


def download_begun(server: Server) -> socket.socket:
    """Ask for a large file, and take only the beginning of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect((LOOPBACK, server.http_port))
    client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    return client


def rest_of(client: socket.socket) -> int:
    received = iter(lambda: len(client.recv(1 << 20)), 0)
    return sum(received)


def session(server: Server) -> ftplib.FTP:
    ftp = ftplib.FTP()
    ftp.connect(LOOPBACK, server.ftp_port, timeout=10)
    ftp.login()
    return ftp


@pytest.mark.real
class TestProcess:
    @pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, -1.7e9], ids=str)
    def test_nothing_that_was_begun_ends_and_releases_are_found(
        self, clocked: Callable[..., Clocked], jump_s: float
    ) -> None:
        running = clocked("--settle", "0.5")
        server = running.server
        with download_begun(server) as client, session(server) as ftp:
            data, _ = ftp.ntransfercmd("RETR large.bin")
            with data, session(server) as idle:
                data.settimeout(10)
                running.clock.set_ahead(jump_s)
                # The deadlines of all connections are looked at once a second.
                time.sleep(2.5)
                assert idle.voidcmd("NOOP").startswith("200")
                assert rest_of(client) > 19_000_000
                assert rest_of(data) == 20_000_000
                assert ftp.voidresp() == "226 Sent."
        write_tree(running.root, {"1.0.2/flash/main.py": b"print(3)\n"})
        wait_until(lambda: newest(server) == "1.0.2")

    @pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=str)
    def test_what_is_too_slow_ends_on_time(
        self, clocked: Callable[..., Clocked], jump_s: float
    ) -> None:
        options = (
            "--stall-timeout",
            "3",
            "--min-rate",
            "1000000",
            "--ftp-idle-timeout",
            "3",
            "--ftp-login-delay",
            "1",
        )
        running = clocked(*options)
        with download_begun(running.server) as client, session(running.server) as ftp:
            running.clock.set_ahead(jump_s)
            began_s = time.monotonic()
            # An answer that is delayed by the reactor itself.
            with ftplib.FTP() as guessing, pytest.raises(ftplib.error_perm, match="530"):
                guessing.connect(LOOPBACK, running.server.ftp_port, timeout=10)
                guessing.login("olga", "wrong")
            with pytest.raises(EOFError):
                told: Any = ftp.getmultiline()
                assert told.startswith("421")
                ftp.getmultiline()
            wait_until(lambda: any("GET /large.bin" in line for line in running.server.log))
            with pytest.raises(ConnectionResetError):
                rest_of(client)
            assert 2 < time.monotonic() - began_s < 9

    @pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=str)
    def test_dates_follow_the_wall_clock(
        self, clocked: Callable[..., Clocked], jump_s: float
    ) -> None:
        running = clocked()
        running.clock.set_ahead(jump_s)

        def is_dated() -> bool:
            with urllib.request.urlopen(running.server.http_url, timeout=10) as answer:
                date = email.utils.parsedate_to_datetime(answer.headers["Date"])
            return abs(date.timestamp() - running.clock.seconds()) < 5

        wait_until(is_dated)
        shown = time.strftime("[%d/%b/%Y:%H:", time.gmtime(running.clock.seconds()))
        wait_until(lambda: any(shown in line for line in running.server.log))
