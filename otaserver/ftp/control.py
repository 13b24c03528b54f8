"""A control connection: bytes to commands, replies to bytes, and deadlines.

How it works. Three parts divide the work. `Conversation` decides what may run when,
without any I/O. `Session` holds what the client has said and chosen, for commands to
work with. This class connects the two to the transport: it splits bytes into lines,
asks the conversation about each, runs the commands that may run, and reads or stops
reading, as the conversation says.

A command that takes time is a coroutine. While it runs there is no deadline here: a
transfer has its own (`DataConnection`), and so does everything else that is waited for.
A coroutine that ends without waiting doesn't call `_work` again, so thousands of
pipelined commands can't nest.

Why it is safe. Replies go out through `Writer`, and this class is the transport's push
producer: once a client stops reading, the transport pauses the producer, and no further
command is run or read. A client that is sent away may still be sending; closing with
some of that unread makes the kernel send a reset, which can destroy the last reply. So
a plain TCP connection is closed for sending only, what arrives is dropped, and the
connection is cut after a few seconds.
"""

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from otaserver.errors import OTAServerError
from otaserver.ftp.command_line import parse_command
from otaserver.ftp.commands import COMMANDS
from otaserver.ftp.conversation import Conversation, Event, Line, Verdict
from otaserver.ftp.errors import Refused, code_and_text
from otaserver.ftp.replies import reply
from otaserver.ftp.session import Session
from otaserver.ftp.state import SiteState
from otaserver.wire.addresses import unmapped
from otaserver.wire.connections import Admission
from otaserver.wire.limits import TooManyConnections
from otaserver.wire.outgoing import Writer
from otaserver.wire.zero_copy import is_plain_tcp

# How much is read at a time, so that no client's commands take up a whole turn of the
# reactor.
_READ_BYTES = 1 << 12

# How long a client that was sent away may take to read why.
_LINGER_S = 5.0


class ControlConnection(LineReceiver):
    """A connection that carries commands in, and replies out.

    Attributes:
        site: what all connections of the site share.
        peer_host: the client's address, as the transport has it.
        session: what the client has said and chosen.
    """

    # A line feed alone ends a line too: people who type commands send no CR.
    delimiter = b"\n"
    log = Logger()
    site: SiteState
    transport: Any

    _reads = True

    def connectionMade(self) -> None:
        """Admit the connection, or turn it away."""
        self.MAX_LENGTH = self.site.max_command_bytes
        self.peer_host = unmapped(getattr(self.transport.getPeer(), "host", ""))
        self.session = Session(self.site, self)
        self._conversation = Conversation()
        self._writer = Writer(self.transport)
        self._deadline_s = self.site.now_s + self.site.timeouts.login_s
        if is_plain_tcp(self.transport):
            self._set_socket_options()
        # Paused when the client stops reading replies.
        self.transport.registerProducer(self, True)
        admission = self.site.listener.connections.add(self)
        if admission is Admission.ADMITTED:
            self.session.reply(220, "otaserver is ready.")
        elif admission is Admission.REFUSED:
            self._send_away(421, str(TooManyConnections()))
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End everything that belongs to the connection.

        Args:
            reason: why it ended.
        """
        self._conversation.happen(Event.CLOSE)
        self.site.listener.connections.remove(self)
        self.session.end()

    @property
    def own_host(self) -> str:
        """The address that the client reached; empty if it has none."""
        return getattr(self.transport.getHost(), "host", "")

    @property
    def own_port(self) -> int | None:
        """The port that the client reached; None if it has none."""
        return getattr(self.transport.getHost(), "port", None)

    def write(self, data: bytes) -> None:
        """Send a reply, unless the last one has been sent.

        Args:
            data: the reply.
        """
        if not self._conversation.is_closing:
            self._writer.write(data)

    def hang_up(self, code: int, text: str) -> None:
        """Send a last reply, and close.

        Args:
            code: see `otaserver.ftp.replies.reply`.
            text: likewise.
        """
        self._say_last(code, text)
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends, unless it was sent away.

        Args:
            data: what it sent.
        """
        if not self._conversation.is_closing:
            super().dataReceived(data)

    def pauseProducing(self) -> None:
        """Run and read no more commands, because the client doesn't read its replies."""
        self._conversation.happen(Event.PAUSE)
        self._read_or_not()

    def resumeProducing(self) -> None:
        """Go on, because the client has read its replies."""
        self._conversation.happen(Event.RESUME)
        self._work()

    def lineReceived(self, line: bytes) -> None:
        """Run a command, or have it wait for the one before it.

        Args:
            line: the line, without its LF.
        """
        command: Line
        try:
            command = parse_command(line.removesuffix(b"\r"))
        except Refused as refused:
            command = refused
        verdict = self._conversation.receive(command, self.session.data is not None)
        if verdict is Verdict.DO:
            self._work()
        elif verdict is Verdict.ANSWER_NOW:
            self._begin(command)
        elif verdict is Verdict.ABORT:
            self.session.abort_data("The transfer was aborted.")
        self._read_or_not()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Send away a client whose line never ends.

        Args:
            line: the part of it that has arrived.
        """
        limit = self.site.max_command_bytes
        self._send_away(500, f"A command may have at most {limit} bytes.")

    def check_time(self, now_s: float) -> None:
        """End what takes too long; the listener calls this once a second.

        Args:
            now_s: the time, in seconds.
        """
        if self.session.data is not None:
            self.session.data.check_time(now_s)
        if now_s < self._deadline_s or not self._conversation.has_deadline:
            return
        if self._conversation.is_closing:
            self.transport.abortConnection()
        else:
            self._send_away(421, "You took too long; good-bye.")

    def _set_socket_options(self) -> None:
        self.transport.bufferSize = _READ_BYTES
        # Or a reply would wait until the client has acknowledged the one before.
        self.transport.setTcpNoDelay(True)
        # Clients send part of ABOR as urgent data; it has to stay in sequence.
        handle = self.transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def _work(self) -> None:
        """Run the commands that may run."""
        while (command := self._conversation.next()) is not None:
            working = self._begin(command)
            if working is not None:
                working.addCallback(self._end_later)
                return
            self._end()
        self._read_or_not()

    def _begin(self, line: Line) -> "Deferred[None] | None":
        """Run a command; if it has to wait, return what fires when it ends."""
        try:
            if isinstance(line, Refused):
                raise line
            command = COMMANDS.get(line.verb)
            if command is None:
                raise Refused(500, "There is no such command.")
            command.check(line.argument, self.session.shell is not None)
            working = command.obey(self.session, line.argument)
        except Exception:
            self._say_failure(Failure())
            return None
        if working is None:
            return None
        done = Deferred.fromCoroutine(working).addErrback(self._say_failure)
        return None if done.called else done

    def _end_later(self, _: None) -> None:
        self._end()
        self._work()

    def _end(self) -> None:
        self._conversation.happen(Event.END)
        # Commands don't extend the time to log in.
        if self.session.shell is not None and not self._conversation.is_closing:
            self._deadline_s = self.site.now_s + self.site.timeouts.idle_s

    def _read_or_not(self) -> None:
        """Read from the transport, or stop, as the conversation says."""
        reads = self._conversation.reads
        if reads == self._reads or self._conversation.is_closing:
            return
        self._reads = reads
        if reads:
            super().resumeProducing()
        else:
            super().pauseProducing()

    def _say_failure(self, failure: Failure) -> None:
        if not failure.check(OTAServerError):
            self.log.failure("A command failed", failure)
        self.session.reply(*code_and_text(failure.value))

    def _send_away(self, code: int, text: str) -> None:
        """Send a last reply to a client that may still be sending."""
        self._say_last(code, text)
        if is_plain_tcp(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def _say_last(self, code: int, text: str) -> None:
        self.write(reply(code, text))
        self._conversation.happen(Event.CLOSE)
        self._deadline_s = self.site.now_s + _LINGER_S
        self.session.abort_data("The control connection is being closed.")
        self.transport.unregisterProducer()
        if not self._reads:
            # What the client still sends has to be read to be dropped.
            self._reads = True
            super().resumeProducing()
