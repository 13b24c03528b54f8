"""The access log: a line in the combined format for everything that is served.

The format is that of Apache and nginx, so that their tools read it: address, identity
and user (always ``-``), time, request, status, bytes of the body, referer, user agent.
Quotes, backslashes and unprintable bytes are escaped the way Apache does.
"""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from time import gmtime, strftime
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from otaserver.errors import OTAServerError
from otaserver.wire.events import Served
from otaserver.worker import Worker

_FLUSH_S = 1

# When this many lines are waiting, they are written at once.
_MAX_WAITING = 5_000

# When this many are, because the disk is stuck, further ones are dropped and counted.
_MAX_KEPT = 20_000

# What needs no escaping: printable ASCII except quotes and backslashes.
_PLAIN = re.compile(r"[ !#-\[\]-~]+")


class AccessLogError(OTAServerError):
    """The access log's file can't be opened."""


class CombinedFormat:
    """Formats events as lines; the time is formatted once a second."""

    def __init__(self) -> None:
        self._second_s = -1
        self._time = ""

    def line(self, event: Served) -> str:
        """Format one event.

        Args:
            event: what was served.

        Returns:
            The line, without a line end.
        """
        ended_s, _, host, request, status, body_bytes, referer, agent = event
        second_s = int(ended_s)
        if second_s != self._second_s:
            self._second_s = second_s
            self._time = strftime("[%d/%b/%Y:%H:%M:%S +0000]", gmtime(second_s))
        return (
            f"{host or '-'} - - {self._time} "
            f'"{_quotable(request)}" {status} {body_bytes} '
            f'"{_quotable(referer) if referer else "-"}" '
            f'"{_quotable(agent) if agent else "-"}"'
        )


class TwistedAccessLog(Service):
    """Writes each line to Twisted's log as an event of its own, up to a limit.

    Logging an event takes Twisted longer than answering a request takes. So the lines of
    one second that exceed the limit become a single event at its end.

    Args:
        clock: gives the time.
        max_single: how many lines a second become events of their own.
    """

    log = Logger()

    def __init__(self, clock: Any, max_single: int = 200) -> None:
        self._format = CombinedFormat()
        self._max_single = max_single
        self._left = max_single
        self._lines: list[str] = []
        self._flushing = LoopingCall(self.flush)
        self._flushing.clock = clock

    def startService(self) -> None:
        """Start writing."""
        super().startService()
        self._flushing.start(_FLUSH_S, now=False)

    def stopService(self) -> None:
        """Write what is left."""
        super().stopService()
        self._flushing.stop()
        self.flush()

    def add(self, event: Served) -> None:
        """Take one event.

        Args:
            event: what was served.
        """
        line = self._format.line(event)
        if self._left:
            self._left -= 1
            self.log.info("{line}", line=line)
            return
        self._lines.append(line)
        if len(self._lines) >= _MAX_WAITING:
            self._write()

    def flush(self) -> None:
        """End a second: write the lines above its limit."""
        self._left = self._max_single
        self._write()

    def _write(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self.log.info(
                "{count} more in this second:\n{lines}", count=len(lines), lines="\n".join(lines)
            )


class AccessLogFile(Service):
    """Writes lines to a file of their own, once a second, outside the reactor's thread.

    SIGUSR1 reopens the file, after a tool such as logrotate has renamed it.

    Args:
        clock: gives the time.
        worker: does the writing, in order: it must have a single thread.
        call_in_reactor: calls a function in the reactor's thread.
        path: the file, which is appended to.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        worker: Worker,
        call_in_reactor: Callable[[Callable[[], Any]], Any],
        path: Path,
    ) -> None:
        self._worker = worker
        self._call_in_reactor = call_in_reactor
        self._path = path
        self._format = CombinedFormat()
        self._events: list[Served] = []
        self._dropped = 0
        self._is_writing = False
        self._has_failed = False
        self._flushing = LoopingCall(self.flush)
        self._flushing.clock = clock

    def startService(self) -> None:
        """Open the file.

        Raises:
            AccessLogError: it can't be opened.
        """
        super().startService()
        try:
            self._file = self._path.open("a", encoding="ascii")
        except OSError as error:
            raise AccessLogError(
                f"can't write the access log {self._path}: {error.strerror}"
            ) from error
        self._flushing.start(_FLUSH_S, now=False)
        # twistd may have its own use for the signal: to rotate its own log.
        self._former_handler = signal.signal(signal.SIGUSR1, self._take_signal)

    def stopService(self) -> None:
        """Write what is left, and close the file; the worker's own end waits for both."""
        super().stopService()
        # The signal's default action would end the process.
        is_own = callable(self._former_handler)
        signal.signal(signal.SIGUSR1, self._former_handler if is_own else signal.SIG_IGN)
        self._flushing.stop()
        # Queued after a write in progress, if any: the worker does one at a time.
        self._is_writing = False
        self.flush()
        self._worker.run(lambda: self._file.close()).addErrback(self._complain)

    def add(self, event: Served) -> None:
        """Take one event.

        Args:
            event: what was served.
        """
        if len(self._events) >= _MAX_KEPT:
            self._dropped += 1
            return
        self._events.append(event)
        if len(self._events) >= _MAX_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last time, unless a write is in progress."""
        if self._is_writing or not self._events:
            return
        events, self._events = self._events, []
        self._is_writing = True
        self._worker.run(self._write, events).addErrback(self._complain).addBoth(self._written)

    def _written(self, _: None) -> None:
        self._is_writing = False
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self.log.error(
                "{count} lines of the access log were dropped: {path} is written too slowly",
                count=dropped,
                path=self._path,
            )

    def reopen(self) -> None:
        """Write what was taken, then reopen the file by its name."""
        self.flush()
        self._worker.run(self._open_again).addErrback(self._complain)

    def _take_signal(self, number: int, frame: Any) -> None:
        self._call_in_reactor(self.reopen)
        if callable(self._former_handler):
            self._former_handler(number, frame)

    def _write(self, events: list[Served]) -> None:
        self._file.write("\n".join([*map(self._format.line, events), ""]))
        self._file.flush()
        self._has_failed = False

    def _open_again(self) -> None:
        opened = self._path.open("a", encoding="ascii")
        # Before closing, which fails if the last lines don't fit on the disk.
        former, self._file = self._file, opened
        former.close()

    def _complain(self, failure: Any) -> None:
        """Report a failure, such as a full disk, once; later lines are still tried."""
        if not self._has_failed:
            self._has_failed = True
            self.log.error(
                "can't write the access log {path}: {error}",
                path=self._path,
                error=failure.getErrorMessage(),
            )


def _quotable(raw: bytes) -> str:
    """Make what a client sent safe to print between quotes; if empty, it becomes ``-``."""
    text = raw.decode("latin-1")
    if _PLAIN.fullmatch(text):
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"') or "-"
