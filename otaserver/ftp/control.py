"""A control connection: who it is, what it asks for, and how long it may take."""

import socket
from collections import deque
from collections.abc import Callable
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from otaserver.connections import Admission
from otaserver.errors import OTAServerError
from otaserver.ftp.addresses import FTP_PORT, canonical, url_authority
from otaserver.ftp.command_line import CommandLine, parse_command
from otaserver.ftp.commands import COMMANDS
from otaserver.ftp.data import DataConnection
from otaserver.ftp.errors import Refused, told
from otaserver.ftp.listing import FACTS
from otaserver.ftp.replies import long_reply, reply
from otaserver.plain_tcp import is_plain_tcp, write_at_once
from otaserver.sentences import TOO_MANY_CONNECTIONS

if TYPE_CHECKING:
    from otaserver.ftp.factory import FTPFactory
    from otaserver.ftp.shell import ReadOnlyShell

# How many commands may wait while one is being done. What comes after them
# stays in the kernel until there is room again.
MAX_WAITING_COMMANDS = 32

# How much is read at a time, and how much of replies may wait to be taken.
_BUFFER_BYTES = 1 << 12

# How long a client that was sent away may take to hear of it.
_LINGER_S = 5.0

# RFC 959, section 4.1.3: this can be asked, and is answered, during a transfer.
_STATUS = CommandLine("STAT", b"")


class ControlConnection(LineReceiver):
    """A connection that commands come over, and replies go back.

    What a client has not changed stands in the class, so that thousands of idle
    connections take little memory.

    Attributes:
        factory: the site that it belongs to.
        peer_host: the client's address, as the transport tells it.
        user_name: what USER named; None where it named nobody yet.
        shell: what the user can do; None until logged in.
        failures: how often a log-in failed.
        folder: the names on the way to the current folder.
        facts: what MLSD and MLST tell.
        offset_bytes: where the next transfer begins.
        is_extended_only: whether EPSV is the only way to a data connection.
        data: where the next transfer, or the one that goes on, is sent.
    """

    # A line feed alone ends a line too: people who type commands send no CR.
    delimiter = b"\n"
    log = Logger()
    factory: "FTPFactory"
    transport: Any

    user_name: str | None = None
    shell: "ReadOnlyShell | None" = None
    failures = 0
    folder: tuple[str, ...] = ()
    facts: tuple[str, ...] = FACTS
    offset_bytes = 0
    is_extended_only = False
    data: DataConnection | None = None

    _log_out: Callable[[], None] | None = None
    _waiting: deque[CommandLine | Refused] | None = None
    _is_busy = False
    _is_going_on = False
    _is_full = False
    _is_unread = False
    _is_closing = False

    def connectionMade(self) -> None:
        """Admit the connection, or turn it away."""
        self.MAX_LENGTH = self.factory.max_command_bytes
        self.peer_host: str = getattr(self.transport.getPeer(), "host", "")
        self._writes_at_once = is_plain_tcp(self.transport)
        self._deadline_s = self.factory.now_s + self.factory.timeouts.login_s
        if self._writes_at_once:
            # Nobody has a whole turn of the reactor for thousands of commands.
            self.transport.bufferSize = _BUFFER_BYTES
            # Or a reply would wait for the client to acknowledge the one before.
            self.transport.setTcpNoDelay(True)
            # Clients send a part of ABOR as urgent data; it belongs in its place.
            handle = self.transport.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        # Who does not read replies can't have more commands done.
        self.transport.registerProducer(self, True)
        admission = self.factory.connections.add(self)
        if admission is Admission.ADMITTED:
            self.reply(220, "otaserver is ready.")
        elif admission is Admission.REFUSED:
            self.send_away(421, TOO_MANY_CONNECTIONS)
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End what belongs to the connection."""
        self._is_closing = True
        self._waiting = None
        self.factory.connections.remove(self)
        self._abort_data("The control connection was lost.")
        self.log_out()

    @cached_property
    def local_host(self) -> str:
        """The address that the client reached, with its zone where it has one."""
        host: str = getattr(self.transport.getHost(), "host", "")
        return host if "%" in host else canonical(host)

    @cached_property
    def peer_address(self) -> str:
        """The client's address in canonical form, without a zone."""
        return canonical(self.peer_host)

    @cached_property
    def base_url(self) -> str:
        """What URLs in manifests begin with."""
        reached = self.transport.getHost()
        host = self.factory.public_host or canonical(getattr(reached, "host", "localhost"))
        return f"ftp://{url_authority(host, getattr(reached, 'port', FTP_PORT))}"

    def reply(self, code: int, text: str) -> None:
        """Send a reply of one line; see `otaserver.ftp.replies.reply`."""
        self._write(reply(code, text))

    def long_reply(self, code: int, first: str, lines: list[str], last: str) -> None:
        """Send a reply of several lines; see `otaserver.ftp.replies.long_reply`."""
        self._write(long_reply(code, first, lines, last))

    def log_in(self, shell: "ReadOnlyShell", log_out: Callable[[], None]) -> None:
        """Begin a user's session.

        Args:
            shell: what the user can do.
            log_out: is called when the session ends.
        """
        if self._is_closing:
            log_out()
        else:
            self.shell, self._log_out = shell, log_out

    def log_out(self) -> None:
        """End a user's session, if there is one."""
        log_out, self._log_out = self._log_out, None
        self.close_data()
        self.shell = None
        self.folder = ()
        self.offset_bytes = 0
        if log_out is not None:
            log_out()

    def absolute(self, path: bytes) -> bytes:
        """Write a path from the root on, for the log."""
        folder = "/".join(("", *self.folder, "")).encode()
        return path if path.startswith(b"/") else folder + path

    def replace_data(self) -> DataConnection:
        """Prepare for a new data connection; there is never more than one."""
        self.close_data()
        self.data = DataConnection(self.factory.now_s + self.factory.timeouts.data_s)
        return self.data

    def close_data(self) -> None:
        """Close the data connection with its port, if there is one."""
        data, self.data = self.data, None
        if data is not None:
            data.close()

    def hang_up(self, code: int, text: str) -> None:
        """Send a last reply, and close."""
        self._say_last(code, text)
        self.transport.loseConnection()

    def send_away(self, code: int, text: str) -> None:
        """Send a last reply to a client that may still be sending.

        To close with some of that unread would make the kernel drop the reply.
        """
        self._say_last(code, text)
        if is_plain_tcp(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends, unless it was sent away."""
        if not self._is_closing:
            super().dataReceived(data)

    def pauseProducing(self) -> None:
        """Take no more commands, and do none that wait: replies lie unread."""
        self._is_unread = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on: the replies have been taken."""
        self._is_unread = False
        self._do_waiting()
        if not (self._is_full or self._is_unread):
            super().resumeProducing()

    def lineReceived(self, line: bytes) -> None:
        """Do a command, or have it wait for the one before it."""
        if self._is_closing:
            return
        try:
            command: CommandLine | Refused = parse_command(line.removesuffix(b"\r"))
        except Refused as refused:
            command = refused
        if not self._is_busy:
            self._deadline_s = self._next_deadline_s()
            self._obey(command)
        elif command == _STATUS and self.data is not None and not self._waiting:
            self._obey(command)
        else:
            self._have_wait(command)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Send away who sends a line that never ends."""
        self.send_away(500, f"A command is of {self.factory.max_command_bytes} bytes at most.")

    def check_time(self, now_s: float) -> None:
        """End what takes too long; the factory calls this once a second.

        Args:
            now_s: the time, in seconds.
        """
        if self.data is not None:
            self.data.check_time(now_s)
        if now_s < self._deadline_s:
            return
        if self._is_closing:
            self.transport.abortConnection()
        else:
            self.send_away(421, "You took too long; good-bye.")

    def _write(self, data: bytes) -> None:
        if self._is_closing:
            return
        if self._writes_at_once:
            self._writes_at_once = write_at_once(self.transport, data)
        else:
            self.transport.write(data)

    def _abort_data(self, why: str) -> None:
        if self.data is not None:
            self.data.abort(Refused(426, why))

    def _next_deadline_s(self) -> float:
        """Until when the next command must come; commands don't prolong a log-in."""
        if self.shell is None:
            return self._deadline_s
        return self.factory.now_s + self.factory.timeouts.idle_s

    def _obey(self, line: CommandLine | Refused) -> None:
        if isinstance(line, Refused):
            self.reply(line.code, str(line))
            return
        command = COMMANDS.get(line.verb)
        try:
            if command is None:
                raise Refused(500, "There is no such command.")
            command.check(line.argument, self.shell is not None)
            working = command.obey(self, line.argument)
        except Exception:
            self._say_failure(Failure())
            return
        if working is not None:
            self._is_busy = True
            deadline_s, self._deadline_s = self._deadline_s, inf
            done = Deferred.fromCoroutine(working)
            done.addErrback(self._say_failure).addCallback(self._go_on, deadline_s)

    def _have_wait(self, command: CommandLine | Refused) -> None:
        """Keep a command for later; ABOR takes effect now and is answered in its turn."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(command)
        if len(self._waiting) >= MAX_WAITING_COMMANDS:
            self._is_full = True
            super().pauseProducing()
        if isinstance(command, CommandLine) and command.verb == "ABOR":
            self._abort_data("The transfer was aborted.")

    def _go_on(self, _: object, deadline_s: float) -> None:
        """Do the commands that waited, up to one that takes its time as well."""
        self._is_busy = False
        if self._is_closing:
            return
        self._deadline_s = deadline_s if self.shell is None else self._next_deadline_s()
        self._do_waiting()

    def _do_waiting(self) -> None:
        """Do them, unless the replies to those before are not taken."""
        if self._is_going_on:
            return
        self._is_going_on = True
        while self._waiting and self._may_go_on:
            self._obey(self._waiting.popleft())
        self._is_going_on = False
        if self._is_full and self._may_go_on:
            self._is_full = False
            super().resumeProducing()

    @property
    def _may_go_on(self) -> bool:
        return not (self._is_busy or self._is_unread or self._is_closing)

    def _say_failure(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, OTAServerError):
            self.log.failure("A command failed", failure)
        self.reply(*told(error))

    def _say_last(self, code: int, text: str) -> None:
        self.reply(code, text)
        self._is_closing = True
        self._waiting = None
        self._deadline_s = self.factory.now_s + _LINGER_S
        self._abort_data("The control connection is being closed.")
        self.transport.unregisterProducer()
