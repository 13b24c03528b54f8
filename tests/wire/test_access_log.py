"""The lines of the access log, and the file that they go to."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from otaserver.wire.access_log import (
    AccessLogError,
    AccessLogFile,
    CombinedFormat,
    TwistedAccessLog,
)
from otaserver.wire.events import Served, ServedEvents, cut
from tests.support.worker import LateWorker

# Apache's combined format, as log tools read it.
COMBINED = re.compile(
    r"(?P<host>\S+) - - \[(?P<time>\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)

EVENT = Served(
    1_700_000_000.7,
    0.25,
    "192.0.2.7",
    b"GET /manifest.json?current_ver=1.0 HTTP/1.1",
    200,
    1234,
    b"http://h/",
    b"curl/8",
)


class Worker:
    """Does everything at once, unless the disk is said to be full."""

    is_full = False

    def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> "Deferred[Any]":
        def do() -> Any:
            if self.is_full and args:
                raise OSError(28, "No space left on device")
            return work(*args, **kwargs)

        return maybeDeferred(do)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What Twisted's log is told."""
    texts: list[str] = []

    def remember(event: LogEvent) -> None:
        texts.append(str(event.get("log_format", "")).format(**event))

    observe: Any = remember
    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


def log_file(path: Path, worker: Any, clock: Clock | None = None) -> AccessLogFile:
    log = AccessLogFile(clock or Clock(), worker, lambda call: call(), path)
    log.startService()
    return log


def test_a_line() -> None:
    assert CombinedFormat().line(EVENT) == (
        "192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] "
        '"GET /manifest.json?current_ver=1.0 HTTP/1.1" 200 1234 "http://h/" "curl/8"'
    )


def test_what_is_not_known_is_a_hyphen() -> None:
    line = CombinedFormat().line(Served(0.0, 0.0, "", b"", 400, 0))
    assert line == '- - - [01/Jan/1970:00:00:00 +0000] "-" 400 0 "-" "-"'


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50))
def test_whatever_a_client_sends_a_line_stays_a_line(
    request: bytes, referer: bytes, agent: bytes
) -> None:
    event = EVENT._replace(request=request, referer=referer, user_agent=agent)
    line = CombinedFormat().line(event)
    assert line.isascii() and line.isprintable()
    match = COMBINED.fullmatch(line)
    assert match is not None
    sent = match["agent"].encode().decode("unicode_escape").replace('\\"', '"')
    assert sent.encode("latin-1") == (agent or b"-")


def test_what_a_client_sends_is_cut() -> None:
    assert cut(b"x" * 2048) == b"x" * 2048
    assert cut(b"x" * 2049) == b"x" * 2048 + b"..."


class TestInTwistedsLog:
    def test_a_line_is_an_event(self, logged: list[str]) -> None:
        log = TwistedAccessLog(Clock())
        log.add(EVENT)
        log.add(EVENT)
        assert logged == [CombinedFormat().line(EVENT)] * 2

    def test_beyond_a_limit_the_rest_of_a_second_is_one(self, logged: list[str]) -> None:
        clock = Clock()
        log = TwistedAccessLog(clock, max_single=2)
        log.startService()
        for _ in range(5):
            log.add(EVENT)
        assert len(logged) == 2
        clock.advance(1)
        assert len(logged) == 3
        assert logged[-1].startswith("3 more in this second:\n")
        assert logged[-1].count("curl/8") == 3
        log.add(EVENT)
        assert len(logged) == 4
        log.stopService()

    def test_the_last_lines_are_written_at_the_end(self, logged: list[str]) -> None:
        log = TwistedAccessLog(Clock(), max_single=0)
        log.startService()
        log.add(EVENT)
        log.stopService()
        assert len(logged) == 1


class TestInAFile:
    def test_lines_are_written_once_a_second_and_at_the_end(self, tmp_path: Path) -> None:
        path, clock = tmp_path / "log", Clock()
        log = log_file(path, Worker(), clock)
        log.add(EVENT)
        assert path.read_text() == ""
        clock.advance(1)
        line = CombinedFormat().line(EVENT) + "\n"
        assert path.read_text() == line
        log.add(EVENT)
        log.stopService()
        assert path.read_text() == line * 2

    def test_a_file_that_is_there_is_gone_on_with(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("before\n")
        log = log_file(tmp_path / "log", Worker())
        log.add(EVENT)
        log.stopService()
        assert (tmp_path / "log").read_text().startswith("before\n192.0.2.7")

    def test_one_that_can_not_be_opened(self, tmp_path: Path) -> None:
        with pytest.raises(AccessLogError, match=r"can't write the access log .*: Not a dir"):
            (tmp_path / "file").write_text("")
            log_file(tmp_path / "file" / "log", Worker())

    def test_it_is_opened_again_on_a_signal(self, tmp_path: Path) -> None:
        path, clock = tmp_path / "log", Clock()
        heard: list[int] = []
        former = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
        try:
            log = log_file(path, Worker(), clock)
            log.add(EVENT)
            path.rename(tmp_path / "log.1")
            os.kill(os.getpid(), signal.SIGUSR1)
            log.add(EVENT)
            log.stopService()
            assert signal.getsignal(signal.SIGUSR1) is not log._take_signal
        finally:
            signal.signal(signal.SIGUSR1, former)
        assert (tmp_path / "log.1").read_text().count("\n") == 1
        assert path.read_text().count("\n") == 1
        assert heard == [signal.SIGUSR1], "what took the signal before takes it still"

    def test_a_full_disk_is_said_once_and_does_no_harm(
        self, tmp_path: Path, logged: list[str]
    ) -> None:
        path, clock, worker = tmp_path / "log", Clock(), Worker()
        log = log_file(path, worker, clock)
        worker.is_full = True
        for _ in range(3):
            log.add(EVENT)
            clock.advance(1)
        assert [text for text in logged if "No space left" in text] == logged != []
        assert len(logged) == 1
        worker.is_full = False
        log.add(EVENT)
        log.stopService()
        assert path.read_text().count("\n") == 1

    def test_a_disk_that_hangs_takes_no_memory_without_end(
        self, tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("otaserver.wire.access_log._MAX_WAITING", 10)
        monkeypatch.setattr("otaserver.wire.access_log._MAX_KEPT", 100)
        worker, clock = LateWorker(), Clock()
        log = log_file(tmp_path / "log", worker, clock)
        for _ in range(1000):
            log.add(EVENT)
        assert len(worker.waiting) == 1
        assert len(log._events) <= 100
        worker.work()
        (text,) = logged
        assert text.startswith("890 lines of the access log were dropped")
        clock.advance(1)
        worker.work()
        assert (tmp_path / "log").read_text().count("\n") == 110
        log.stopService()
        worker.work()


def test_every_subscriber_gets_every_event() -> None:
    events = ServedEvents()
    first: list[Served] = []
    second: list[Served] = []
    events.publish(EVENT)
    events.subscribe(first.append)
    events.subscribe(second.append)
    events.publish(EVENT)
    assert first == second == [EVENT]
