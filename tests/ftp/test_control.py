"""Log-in, time-outs, limits and hostile input on control connections."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from otaserver.ftp.conversation import MAX_WAITING_COMMANDS
from otaserver.wire.turns import SLICE_S, Turns
from tests.ftp.conftest import FIRMWARE
from tests.ftp.site import (
    BUFFER_BYTES,
    CLIENT,
    LOGIN_POLICY,
    MAX_COMMAND_BYTES,
    MAX_UNREAD_BYTES,
    TIMEOUTS,
    Client,
    Site,
)
from tests.support.trees import write_tree

LINGER_S = 6


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is written to the log."""
    lines: list[str] = []

    def remember(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    observe: Any = remember
    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


class MovingClock(Clock):
    """A clock that moves on whenever it is asked, so that all commands take time."""

    def seconds(self) -> float:
        self.rightNow += SLICE_S / 4
        return super().seconds()

    def come_round(self) -> None:
        """Make the calls that are due, and not those that they ask for."""
        due, self.calls = self.calls, []
        for call in due:
            call.func()


def give_turns(*clients: Client) -> MovingClock:
    """Have clients share the time of a reactor whose clock this is."""
    clock = MovingClock()
    turns = Turns(clock)
    for client in clients:
        listener = copy(client.control.site.listener)
        listener.turns = turns
        client.control.site = replace(client.control.site, listener=listener)
    return clock


class TestLogin:
    @pytest.mark.parametrize("name", ["anonymous", "ftp", "Anonymous", "FTP"])
    def test_everybody_may_read(self, site: Site, name: str) -> None:
        client = site.connect()
        client.replies()
        assert client.code(f"USER {name}") == 331
        assert client.code("PASS") == 230

    def test_a_password_alone(self, site: Site) -> None:
        client = site.connect()
        client.replies()
        assert client.code("PASS x") == 503

    def test_a_user_of_another_checker(self, site: Site) -> None:
        client = site.connect()
        client.replies()
        client.code("USER olga")
        assert client.code("PASS right") == 230

    def test_a_wrong_log_in_takes_its_time(self, site: Site) -> None:
        client = site.connect()
        client.replies()
        assert client.code("USER root") == 331, "names are not told apart"
        assert client.ask("PASS x") == ""
        assert client.ask("NOOP") == "", "the next command waits"
        site.pass_time(LOGIN_POLICY.delay_s)
        assert [line[:3] for line in client.replies()] == ["530", "200"]

    def test_guessing_ends(self, site: Site) -> None:
        client = site.connect()
        client.replies()
        for attempt in range(LOGIN_POLICY.attempts):
            client.ask("USER olga")
            client.ask(f"PASS {attempt}")
            site.pass_time(LOGIN_POLICY.delay_s)
            told = client.replies()[-1]
        assert told.startswith("421")
        assert not client.is_connected

    def test_guessing_can_be_pipelined_but_is_no_faster(self, site: Site) -> None:
        client = site.connect()
        client.replies()
        client.send(b"".join(b"USER olga\r\nPASS %d\r\n" % n for n in range(10)))
        site.pass_time(LOGIN_POLICY.delay_s - 1)
        assert client.replies() == []
        site.pass_time(1)
        assert [line[:3] for line in client.replies()] == ["530", "331"]
        site.pass_time(LOGIN_POLICY.delay_s * 2)
        assert client.replies()[-1].startswith("421")

    def test_who_hangs_up_during_the_delay(self, site: Site) -> None:
        client = site.connect()
        client.ask("USER olga")
        client.ask("PASS wrong")
        client.transport.end()
        site.pass_time(LOGIN_POLICY.delay_s)
        assert site.log_outs == 0

    def test_log_out_is_called(self, site: Site) -> None:
        client = site.log_in()
        client.transport.end()
        assert site.log_outs == 1
        client = site.log_in()
        client.code("QUIT")
        assert site.log_outs == 2
        client = site.log_in()
        client.code("CWD 1.0.1")
        client.code("USER anonymous")
        assert site.log_outs == 3
        assert client.code("PWD") == 530
        client.code("PASS x")
        assert client.ask("PWD") == '257 "/"'

    @pytest.mark.parametrize("name", [b"\xff\xfe\xfd", b"\xc3", b"a\x00b", b"x" * 300])
    def test_names_that_are_none(self, site: Site, name: bytes) -> None:
        client = site.connect()
        client.replies()
        assert client.send(b"USER " + name + b"\r\n")[0].startswith("501")


class TestTimeouts:
    def test_logging_in(self, site: Site) -> None:
        client = site.connect()
        site.pass_time(TIMEOUTS.login_s - 1)
        client.ask("NOOP")
        assert client.is_connected, "commands don't prolong it"
        site.pass_time(2)
        assert client.replies()[-1].startswith("421")
        assert not client.is_connected

    def test_idle(self, client: Client, site: Site) -> None:
        site.pass_time(TIMEOUTS.idle_s - 1)
        assert client.code("NOOP") == 200
        site.pass_time(TIMEOUTS.idle_s - 1)
        assert client.is_connected
        site.pass_time(2)
        assert client.replies()[-1].startswith("421")
        assert not client.is_connected

    def test_a_command_that_comes_a_byte_at_a_time(self, client: Client, site: Site) -> None:
        for _ in range(int(TIMEOUTS.idle_s) + 1):
            client.send(b"N")
            site.pass_time(1)
        assert not client.is_connected

    def test_a_half_open_connection(self, client: Client, site: Site) -> None:
        """The other side is gone without a word: nothing that is sent is taken."""
        client.transport.loseConnection = lambda: None  # type: ignore[method-assign]
        site.pass_time(TIMEOUTS.idle_s + 1)
        assert client.is_connected
        site.pass_time(LINGER_S)
        assert client.transport.is_aborted

    def test_a_port_without_a_connection(self, client: Client, site: Site) -> None:
        client.code("EPSV")
        site.pass_time(TIMEOUTS.data_s + 1)
        assert site.network.open_ports == []
        assert client.code("RETR firmware_1.0.1.bin") == 425

    def test_a_command_without_a_connection(self, client: Client, site: Site) -> None:
        client.code("EPSV")
        site.pass_time(TIMEOUTS.data_s - 1)
        client.code("RETR firmware_1.0.1.bin")
        site.pass_time(TIMEOUTS.data_s - 1)
        assert client.replies() == []
        site.pass_time(2)
        assert client.replies() == ["425 The data connection was not opened."]
        assert site.network.open_ports == []
        assert client.code("NOOP") == 200

    def test_a_connection_without_a_command(self, client: Client, site: Site) -> None:
        data = client.open()
        site.pass_time(TIMEOUTS.data_s + 1)
        assert data.is_aborted

    def test_a_transfer_that_stalls_before_its_first_byte(
        self, client: Client, site: Site
    ) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        site.pass_time(TIMEOUTS.stall_s + 1)
        assert client.replies() == ["426 The data connection was too slow."]
        assert data.is_aborted
        assert client.code("NOOP") == 200

    def test_a_transfer_that_stalls_after_all_was_written(
        self, client: Client, site: Site
    ) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        data.take(1)
        # What it has taken may still be unread.
        unread_s = len(FIRMWARE) / TIMEOUTS.min_rate
        site.pass_time(unread_s + 2 * TIMEOUTS.stall_s + 1)
        assert client.replies() == ["426 The data connection was too slow."]
        assert data.is_aborted

    def test_a_long_transfer_is_not_idle(
        self, client: Client, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("otaserver.wire.file_transfer.PIECE_BYTES", 1200)
        (root / "firmware_1.0.1.bin").write_bytes(bytes(40_000))
        site.scan()
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        for _ in range(int(TIMEOUTS.idle_s) // 10 + 1):
            data.take(1)
            site.pass_time(10)
        assert client.is_connected and not data.is_aborted
        data.take()
        assert client.replies() == ["226 Sent."]
        site.pass_time(TIMEOUTS.idle_s - 1)
        assert client.is_connected, "the idle time begins again"

    def test_a_client_that_does_not_take_the_connection(self, client: Client, site: Site) -> None:
        client.code("PORT 192,0,2,7,200,10")
        client.code("RETR firmware_1.0.1.bin")
        site.network.refuse()
        assert client.replies() == ["425 The data connection was not opened."]


class TestLimits:
    def test_connections_in_all(self, root: Path) -> None:
        site = Site(root, in_all=2, per_address=0)
        first, _ = site.log_in("192.0.2.1"), site.log_in("192.0.2.2")
        third = site.connect("192.0.2.3")
        assert third.replies() == ["421 There are too many connections; try again."]
        assert not third.is_connected
        first.code("QUIT")
        site.log_in("192.0.2.3")
        site.close()

    def test_a_flood_of_refused_connections(self, root: Path) -> None:
        site = Site(root, in_all=1, per_address=0)
        site.log_in()
        flood = [site.connect() for _ in range(200)]
        assert all(not one.is_connected for one in flood)
        # A client that does not hang up stays, to be told; the next ones are told nothing.
        lingering = [site.connect_without_end() for _ in range(150)]
        assert sum(bool(one.replies()) for one in lingering) == 100
        assert sum(one.transport.is_aborted for one in lingering) == 50
        site.pass_time(LINGER_S)
        assert all(one.transport.is_aborted for one in lingering)
        site.close()

    def test_connections_from_one_address(self, root: Path) -> None:
        site = Site(root, in_all=0, per_address=1)
        first = site.log_in("192.0.2.1")
        assert site.connect("::ffff:192.0.2.1").replies()[0].startswith("421")
        site.log_in("192.0.2.2")
        first.transport.end()
        site.log_in("192.0.2.1")
        site.close()

    def test_one_data_connection_at_a_time(self, client: Client, site: Site) -> None:
        for _ in range(3_000):
            assert client.code("EPSV") == 229
        assert len(site.network.open_ports) == 1
        first = client.open()
        assert first.connected
        client.code("PASV")
        assert not first.connected
        client.transport.end()
        assert site.network.open_ports == []

    def test_over_a_unix_socket_there_is_no_port(self, site: Site) -> None:
        client = site.log_in("", "")
        assert client.code("EPSV") == 425
        assert client.code("PASV") == 425
        assert site.network.ports == []

    def test_no_port_is_left(self, client: Client, site: Site) -> None:
        site.network.is_full = True
        assert client.code("PASV") == 425
        assert client.code("EPSV") == 425
        assert client.code("NOOP") == 200

    def test_command_length(self, client: Client) -> None:
        assert client.code("NOOP" + " " * 0) == 200
        assert client.code("CWD " + "x" * (MAX_COMMAND_BYTES - 6)) == 550
        assert client.send(b"CWD " + b"x" * MAX_COMMAND_BYTES)[0].startswith("500")
        assert not client.is_connected


class TestHostileInput:
    def test_commands_that_wait_are_not_done_while_replies_lie_unread(
        self, client: Client, site: Site
    ) -> None:
        data = client.open()
        assert client.code("RETR firmware_1.0.1.bin") == 150
        client.control.dataReceived(b"NOOP\r\n" * 5)
        client.control.pauseProducing()
        data.take()
        client.control.dataReceived(b"NOOP\r\n")
        assert client.replies() == ["226 Sent."]
        client.control.resumeProducing()
        assert len(client.replies()) == 6

    def test_an_endless_line(self, client: Client) -> None:
        for _ in range(100):
            client.send(b"x" * 100)
        assert not client.is_connected
        assert len(client.control._received) <= MAX_COMMAND_BYTES + 100

    def test_a_line_too_long_during_a_transfer(self, client: Client, site: Site) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        client.send(b"x" * (MAX_COMMAND_BYTES + 100))
        assert data.is_aborted
        assert not client.is_connected

    @pytest.mark.parametrize(
        "line", [b"", b"\x00", b"\xff\xff\xff", b" NOOP", b"NO\x00OP", b"N\xc3\xb6OP", b"12345"]
    )
    def test_lines_that_are_no_command(self, client: Client, line: bytes) -> None:
        assert client.send(line + b"\r\n") == ["500 That is not a command."]
        assert client.code("NOOP") == 200

    @pytest.mark.parametrize(
        "line",
        [b"\xff\xfb\x01NOOP", b"\xff\xf4\xffNOOP", b"\xff\xf4\xff\xf2NOOP", b"NO\xff\xf1OP",
         b"\xff\xfa\x18xyz\xff\xf0NOOP"],
    )  # fmt: skip
    def test_telnet_controls(self, client: Client, line: bytes) -> None:
        assert client.send(line + b"\r\n") == ["200 Yes."]

    def test_a_line_feed_alone(self, client: Client) -> None:
        assert client.send(b"NOOP\nNOOP\n") == ["200 Yes."] * 2

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            (b"\xff\xff\xfe", "The path is not UTF-8."),
            (b"a\x00b", "The path contains a NUL."),
            (b"\xc3(", "The path is not UTF-8."),
            (b"..\\..\\x", "There is nothing at this address."),
            (b"../../../etc/passwd", "There is nothing at this address."),
            (b"~root", "There is nothing at this address."),
        ],
    )
    @pytest.mark.parametrize("command", [b"RETR", b"CWD", b"SIZE", b"MDTM", b"MLST", b"NLST"])
    def test_paths(self, client: Client, command: bytes, path: bytes, why: str) -> None:
        client.open()
        assert client.send(command + b" " + path + b"\r\n") == [f"550 {why}"]

    def test_thousands_of_commands_at_once(self, client: Client) -> None:
        for _ in range(50):
            assert client.send(b"NOOP\r\n" * 100) == ["200 Yes."] * 100

    @pytest.mark.parametrize("command", [b"STAT 1.0.1", b"NOOP", b"x", b"ABOR"])
    def test_many_commands_leave_the_others_their_turn(self, site: Site, command: bytes) -> None:
        busy, other = site.log_in(), site.log_in()
        clock = give_turns(busy, other)
        busy.control.dataReceived((command + b"\r\n") * 50)
        some = busy.replies()
        assert busy.transport.producerState == "paused"
        clock.come_round()
        assert other.code("NOOP") == 200
        clock.advance(0)
        assert busy.transport.producerState == "producing"
        all_at_once = site.log_in().send((command + b"\r\n") * 50)
        clock.advance(0)
        assert some + busy.replies() == all_at_once

    def test_stat_during_a_transfer_leaves_the_others_their_turn(self, client: Client) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        clock = give_turns(client)
        assert len(client.send(b"STAT\r\n" * 50)) < 20
        clock.advance(0)
        assert len(client.replies()) > 100
        assert len(data.take()) == 10240

    def test_who_hangs_up_before_its_turn(self, client: Client) -> None:
        clock = give_turns(client)
        client.control.dataReceived(b"NOOP\r\n" * 50)
        client.transport.end()
        client.replies()
        clock.advance(0)
        assert client.replies() == []
        assert clock.calls == []

    def test_thousands_of_aborted_transfers(self, client: Client) -> None:
        told = client.send(b"EPSV\r\nRETR firmware_1.0.1.bin\r\nABOR\r\n" * 400)
        assert [line[:3] for line in told] == ["229", "150", "426", "226"] * 400

    def test_thousands_of_commands_behind_a_transfer(self, client: Client) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        assert client.send(b"NOOP\r\n" * 5_000) == []
        assert client.transport.producerState == "paused"
        waiting = client.control._conversation._queue
        assert waiting is not None
        assert len(waiting) == MAX_WAITING_COMMANDS
        data.take()
        assert client.replies() == ["226 Sent."] + ["200 Yes."] * 5_000
        assert client.transport.producerState == "producing"

    @pytest.mark.parametrize(
        ("command", "count"),
        [(b"NOOP", 9_000), (b"HELP", 300), (b"SIZE firmware_1.0.1.bin", 9_000)],
    )
    def test_who_does_not_read_replies_can_not_have_more(
        self, client: Client, command: bytes, count: int
    ) -> None:
        client.control.dataReceived((command + b"\r\n") * count)
        assert client.transport.producerState == "paused"
        lines = 0
        while client.transport.producerState == "paused":
            assert len(client.transport.value()) < BUFFER_BYTES + 2_000
            lines += len(client.replies())
            client.control.resumeProducing()
        lines += len(client.replies())
        assert lines % count == 0 and lines

    def test_nothing_is_done_after_a_last_reply(self, client: Client) -> None:
        assert client.send(b"QUIT\r\nNOOP\r\n") == ["221 Good-bye."]

    def test_what_the_client_sends_over_a_download_is_dropped(self, client: Client) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        data.protocol.dataReceived(b"x" * 100_000)
        assert len(data.take()) == 10240


class TestDuringTransfers:
    def test_abor(self, client: Client, site: Site) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        told = client.send(b"\xff\xf4\xff\xf2ABOR\r\n")
        assert [line[:3] for line in told] == ["426", "226"]
        assert data.is_aborted
        assert client.fetch("RETR 1.0.1/flash/main.py")

    def test_abor_before_the_connection(self, client: Client, site: Site) -> None:
        client.code("EPSV")
        client.code("RETR firmware_1.0.1.bin")
        assert [line[:3] for line in client.send(b"ABOR\r\n")] == ["426", "226"]
        assert site.network.open_ports == []

    def test_abor_while_a_listing_is_made(self, client: Client, site: Site, root: Path) -> None:
        for number in range(501):
            (root / f"1.0.1/sd/{number}").write_bytes(b"")
        site.scan()
        site.worker.is_held = True
        data = client.open()
        client.ask("LIST 1.0.1/sd")
        client.ask("ABOR")
        assert data.is_aborted
        site.worker.work()
        assert [line[:3] for line in client.replies()] == ["426", "226"]

    def test_abor_of_nothing(self, client: Client, site: Site) -> None:
        assert client.code("ABOR") == 226
        data = client.open()
        assert client.code("ABOR") == 226
        assert not data.connected

    def test_quit_waits(self, client: Client, site: Site) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        assert client.ask("QUIT") == ""
        assert len(data.take()) == 10240
        assert client.replies() == ["226 Sent.", "221 Good-bye."]
        assert not client.is_connected

    def test_stat_is_answered_at_once(self, client: Client) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        assert "0 bytes have arrived" in client.ask("STAT")
        assert client.ask("NOOP") == "", "everything else waits"
        data.take()
        assert client.replies() == ["226 Sent.", "200 Yes."]

    def test_the_client_hangs_up_the_control_connection(self, client: Client, site: Site) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        client.transport.end()
        assert data.is_aborted
        assert site.log[-1].endswith(' 426 0 "-" "-"')

    def test_the_client_hangs_up_the_data_connection(self, client: Client) -> None:
        data = client.open()
        client.code("RETR firmware_1.0.1.bin")
        data.end()
        assert client.replies() == ["426 The data connection was lost."]

    def test_the_client_hangs_up_the_data_connection_before_the_command(
        self, client: Client
    ) -> None:
        client.open().end()
        assert client.code("RETR firmware_1.0.1.bin") == 426


class TestWhereDataGoes:
    @pytest.mark.parametrize(
        "command",
        ["PORT 192,0,2,8,200,10", "EPRT |1|192.0.2.8|51210|", "PORT 127,0,0,1,200,10",
         "EPRT |2|2001:db8::7|51210|", "PORT 192,0,2,7,0,21", "PORT 192,0,2,7,3,255",
         "EPRT |1|192.0.2.7|1023|", "EPRT |1|192.0.2.7|0|"],
    )  # fmt: skip
    def test_to_nobody_else_and_to_no_service(
        self, client: Client, site: Site, command: str
    ) -> None:
        assert client.code(command) == 504
        assert client.code("LIST") == 425
        assert site.network.connecting == []

    @pytest.mark.parametrize(
        ("command", "code"),
        [("PORT 1,2,3", 501), ("PORT 192,0,2,7,256,1", 501), ("PORT a,b,c,d,e,f", 501),
         ("PORT 192,0,2,7,200,10,1", 501), ("EPRT x", 501), ("EPRT |1|192.0.2.7|99999|", 501),
         ("EPRT |1|2001:db8::1|2000|", 501), ("EPRT |3|x|2000|", 501),
         ("EPRT |3|1.2.3.4|2000|", 522), ("EPRT |1|192.0.2.7|2000", 501),
         ("EPSV 3", 522), ("EPSV 2", 522), ("EPSV x", 522)],
    )  # fmt: skip
    def test_addresses_that_are_none(self, client: Client, command: str, code: int) -> None:
        assert client.code(command) == code

    def test_from_somebody_else_before_the_command(self, client: Client, site: Site) -> None:
        client.code("EPSV")
        site.network.ports[-1].turn_away("192.0.2.8")
        told = "425 The data connection came from 192.0.2.8, and not from 192.0.2.7."
        assert client.ask("RETR firmware_1.0.1.bin") == told
        assert site.network.open_ports == []
        assert site.events[-1].status == 425
        assert client.fetch("RETR 1.0.1/flash/main.py")

    def test_from_somebody_else_after_the_command(self, client: Client, site: Site) -> None:
        client.code("EPSV")
        client.code("RETR firmware_1.0.1.bin")
        site.network.ports[-1].turn_away("192.0.2.8")
        told = "425 The data connection came from 192.0.2.8, and not from 192.0.2.7."
        assert client.replies() == [told]
        assert site.network.open_ports == []

    def test_from_somebody_else_before_the_client(self, client: Client, site: Site) -> None:
        client.code("EPSV")
        for _ in range(3):
            site.network.ports[-1].turn_away("192.0.2.8")
        data = site.network.ports[-1].take_client()
        assert client.code("RETR firmware_1.0.1.bin") == 150
        assert len(data.take()) == 10240

    def test_from_somebody_else_is_logged_once(
        self, client: Client, site: Site, logged: list[str]
    ) -> None:
        client.code("EPSV")
        for _ in range(3):
            site.network.ports[-1].turn_away("192.0.2.8")
        (line,) = logged
        assert "192.0.2.7" in line and "192.0.2.8" in line and "--ftp-data-from-network" in line

    def test_a_client_that_is_mapped(self, site: Site) -> None:
        client = site.log_in(f"::ffff:{CLIENT}", "::ffff:198.51.100.1")
        assert client.code("PORT 192,0,2,7,200,10") == 200
        assert client.ask("PASV").startswith("227 Entering passive mode (198,51,100,1,156,64).")
        assert site.network.ports[-1].host == "198.51.100.1"
        assert site.network.ports[-1].peer_host == CLIENT
        assert client.code("EPSV 1") == 229

    def test_ipv6(self, site: Site) -> None:
        client = site.log_in("2001:db8::7", "2001:db8::1")
        assert client.code("PASV") == 425
        assert client.code("EPSV 1") == 522
        assert client.ask("EPSV 2") == "229 Entering extended passive mode (|||40000|)."
        assert site.network.ports[-1].host == "2001:db8::1"
        assert client.code("EPRT |2|2001:DB8:0::7|51210|") == 200
        client.code("RETR firmware_1.0.1.bin")
        assert site.network.connecting[-1][0] == ("2001:db8::7", 51210)

    def test_a_link_local_client(self, site: Site) -> None:
        client = site.log_in("fe80::7%eth0", "fe80::1%eth0")
        assert client.code("EPSV") == 229
        assert site.network.ports[-1].host == "fe80::1%eth0"
        assert site.network.ports[-1].peer_host == "fe80::7"
        assert client.code("EPRT |2|fe80::7|51210|") == 200
        client.code("RETR firmware_1.0.1.bin")
        assert site.network.connecting[-1][0] == ("fe80::7%eth0", 51210)

    def test_the_public_address(self, root: Path) -> None:
        site = Site(root, public_host="203.0.113.9")
        client = site.log_in()
        assert "(203,0,113,9,156,64)" in client.ask("PASV")
        assert site.network.ports[-1].host == "198.51.100.1"
        site.close()

    def test_epsv_all(self, client: Client) -> None:
        assert client.code("EPSV ALL") == 200
        assert client.code("PASV") == 503
        assert client.code("PORT 192,0,2,7,200,10") == 503
        assert client.code("EPRT |1|192.0.2.7|51210|") == 503
        assert client.code("EPSV") == 229


def test_large_bodies_that_nobody_reads_are_limited_together(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {f"1.0/flash/{n:04}": b"" for n in range(2000)})
    site = Site(root)
    first, second = site.log_in(host="192.0.2.80"), site.log_in(host="192.0.2.81")
    data = first.open()
    first.send(b"RETR manifest.json\r\n")
    assert site.unread.held_bytes > 300_000
    second.open()
    refused = second.ask("RETR manifest.json")
    assert refused == "450 Too many large answers are waiting to be read; try again."
    data.take()
    assert site.unread.held_bytes == 0
    site.close()


@pytest.fixture
def full_site(tmp_path: Path) -> Iterator[Site]:
    """A site with a folder whose listing takes more than half of the memory for such."""
    files = {f"1.0/flash/{n:05}_{'x' * 60}": b"" for n in range(4000)}
    site = Site(write_tree(tmp_path / "tree", files))
    yield site
    site.close()


class TestLargeReplies:
    def test_those_that_nobody_reads_are_limited_together(self, full_site: Site) -> None:
        first, second = full_site.log_in(), full_site.log_in()
        first.control.dataReceived(b"STAT 1.0/flash\r\n")
        assert MAX_UNREAD_BYTES / 2 < full_site.unread.held_bytes < MAX_UNREAD_BYTES
        refused = second.ask("STAT 1.0/flash")
        assert refused == "450 Too many large answers are waiting to be read; try again."
        assert second.code("NOOP") == 200
        lines = first.replies()
        assert (lines[0], lines[-1]) == ("212-The listing is:", "212 End of the listing.")
        assert len(lines) == 4002
        first.control.resumeProducing()
        assert full_site.unread.held_bytes == 0
        assert first.code("NOOP") == 200
        assert second.ask("STAT 1.0/flash").startswith("212-")

    def test_who_hangs_up_makes_room(self, full_site: Site) -> None:
        client = full_site.log_in()
        client.control.dataReceived(b"STAT 1.0/flash\r\n")
        client.transport.end()
        assert full_site.unread.held_bytes == 0

    def test_who_reads_nothing_for_long_is_cut_for_another(self, full_site: Site) -> None:
        first, second = full_site.log_in(), full_site.log_in()
        first.control.dataReceived(b"STAT 1.0/flash\r\n")
        full_site.pass_time(31)
        assert second.ask("STAT 1.0/flash").startswith("212-")
        assert first.transport.is_aborted

    def test_one_that_is_read_at_once_is_not_counted(
        self, full_site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.ftp.site.BUFFER_BYTES", 1 << 20)
        assert full_site.log_in().ask("STAT 1.0/flash").startswith("212-")
        assert full_site.unread.held_bytes == 0
