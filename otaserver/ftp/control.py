"""A control connection: bytes to commands, replies to bytes, and deadlines.

How it works. Three parts divide the work. `Conversation` decides what may run when,
without any I/O. `Session` holds what the client has said and chosen, for commands to
work with. This class connects the two to the transport: what arrives is kept as it is,
and lines are taken from it one at a time, when the conversation has room for them and
the others have had their turn (`otaserver.wire.turns`). Nothing is read while what has
been read is still being worked off, so whatever a client sends, its connection takes no
more memory than a read and a command.

A command that takes time is a coroutine. While it runs there is no deadline here: a
transfer has its own (`DataConnection`), and so does everything else that is waited for.
A coroutine that ends while `_work` is running leaves what follows to it, so thousands of
pipelined commands can't nest.

Why it is safe. Replies go out through `Writer`, and this class is the transport's push
producer: once a client stops reading, the transport pauses the producer, and no further
command is run or read. A client that is sent away may still be sending; closing with
some of that unread makes the kernel send a reset, which can destroy the last reply. So
a plain TCP connection is closed for sending only, what arrives is dropped, and the
connection is cut after a few seconds.

What an idle connection takes. There may be thousands, on a small computer. So this class has
slots, which Twisted's own protocols don't have, and all connections share the moment at
which they were last active, the listener's `now_s`, instead of a deadline each.
"""

import socket
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from otaserver.errors import OTAServerError
from otaserver.ftp.command_line import parse_command
from otaserver.ftp.commands import COMMANDS
from otaserver.ftp.conversation import Conversation, Event, Line, Verdict
from otaserver.ftp.errors import Refused, code_and_text
from otaserver.ftp.replies import reply
from otaserver.ftp.session import Session
from otaserver.ftp.state import SiteState
from otaserver.ftp.unread_reply import UnreadReply
from otaserver.wire.addresses import unmapped
from otaserver.wire.connections import Admission
from otaserver.wire.limits import TooManyConnections
from otaserver.wire.outgoing import Writer
from otaserver.wire.transfer import FIRST_WRITE_BYTES
from otaserver.wire.zero_copy import is_plain_tcp

# How much is read at a time; it has to be kept until it has been worked off.
_READ_BYTES = 1 << 12

# How long a client that was sent away may take to read why.
_LINGER_S = 5.0

# A line feed alone ends a line too: people who type commands send no CR.
_LINE_END = b"\n"


class _Progress(Enum):
    """How far `ControlConnection._work` has come."""

    RESTING = "there is nothing to do"
    WORKING = "it is running"
    WAITING = "there is more to do, but it is the turn of the others"


@implementer(IProtocol, IPushProducer)
class ControlConnection(Writer):
    """A connection that carries commands in, and replies out.

    Args:
        site: what all connections of the site share.

    Attributes:
        site: what all connections of the site share.
        session: what the client has said and chosen.
    """

    __slots__ = (
        "_active_s",
        "_conversation",
        "_progress",
        "_reads",
        "_received",
        "_unread_reply",
        "session",
        "site",
    )

    log = Logger()

    def __init__(self, site: SiteState) -> None:
        self.site = site
        self.session = Session(self)
        self._conversation = Conversation()
        self._received = b""
        self._progress = _Progress.RESTING
        self._reads = True
        self._unread_reply: UnreadReply | None = None
        self._active_s = site.now_s

    def makeConnection(self, transport: Any) -> None:
        """Admit the connection, or turn it away.

        Args:
            transport: carries it.
        """
        super().__init__(transport)
        if is_plain_tcp(transport):
            self._set_socket_options()
        # Paused when the client stops reading replies.
        transport.registerProducer(self, True)
        admission = self.site.listener.connections.add(self)
        if admission is Admission.ADMITTED:
            self.session.reply(220, "otaserver is ready.")
        elif admission is Admission.REFUSED:
            self._send_away(*code_and_text(TooManyConnections()))
        else:
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End everything that belongs to the connection.

        Args:
            reason: why it ended.
        """
        self._conversation.happen(Event.CLOSE)
        self._received = b""
        self._release_reply()
        self.site.listener.connections.remove(self)
        self.session.end()

    @property
    def is_closing(self) -> bool:
        """Whether the last reply has been sent, or the connection is lost."""
        return self._conversation.is_closing

    @property
    def peer_host(self) -> str:
        """The client's address, as the transport has it; empty if it has none."""
        return unmapped(getattr(self.transport.getPeer(), "host", ""))

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
        if not self.is_closing:
            super().write(data)

    def write_large(self, data: bytes) -> None:
        """Send a reply of any size, and count it until it has been read.

        Args:
            data: the reply.

        Raises:
            TooMuchUnread: too many large answers are waiting to be read.
        """
        if len(data) > FIRST_WRITE_BYTES:
            self.site.listener.unread.make_room(data)
        self.write(data)
        if len(data) > FIRST_WRITE_BYTES and self._conversation.is_unread:
            self._unread_reply = UnreadReply(self.transport, self.site.listener.unread, data)

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
        if not self.is_closing:
            self._received += data
            self._work()

    def pauseProducing(self) -> None:
        """Run and read no more commands, because the client doesn't read its replies."""
        self._conversation.happen(Event.PAUSE)
        self._read_or_not()

    def resumeProducing(self) -> None:
        """Go on, because the client has read its replies."""
        self._release_reply()
        self._conversation.happen(Event.RESUME)
        self._work()

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows. See `IPushProducer`."""

    def check_time(self, now_s: float) -> None:
        """End what takes too long; the listener calls this once a second.

        Args:
            now_s: the time, in seconds.
        """
        if self.session.data is not None:
            self.session.data.check_time(now_s)
        if now_s < self._active_s + self._patience_s or not self._conversation.has_deadline:
            return
        if self.is_closing:
            self.transport.abortConnection()
        else:
            self._send_away(421, "You took too long; good-bye.")

    @property
    def _patience_s(self) -> float:
        """How long the client may take from when it was last active, in seconds."""
        if self.is_closing:
            return _LINGER_S
        timeouts = self.site.timeouts
        return timeouts.login_s if self.session.shell is None else timeouts.idle_s

    def _set_socket_options(self) -> None:
        self.transport.bufferSize = _READ_BYTES
        # Or a reply would wait until the client has acknowledged the one before.
        self.transport.setTcpNoDelay(True)
        # Clients send part of ABOR as urgent data; it has to stay in sequence.
        handle = self.transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def _work(self) -> None:
        """Run the commands that may run, as long as it is this connection's turn."""
        if self._progress is not _Progress.RESTING:
            return
        self._progress = _Progress.WORKING
        turns = self.site.listener.turns
        turns.begin()
        while not turns.is_over and self._take_step():
            pass
        self._progress = _Progress.RESTING
        if self._has_work:
            self._progress = _Progress.WAITING
            turns.wait(self._take_turn)
        elif _LINE_END not in self._received:
            self._check_length(self._received)
        self._read_or_not()

    def _take_turn(self) -> None:
        self._progress = _Progress.RESTING
        self._work()

    @property
    def _has_work(self) -> bool:
        conversation = self._conversation
        return conversation.has_next or (conversation.reads and _LINE_END in self._received)

    def _take_step(self) -> bool:
        """Run the next command, or receive the next line; return False if neither may be."""
        command = self._conversation.next()
        if command is not None:
            self._run(command)
            return True
        if not self._conversation.reads:
            return False
        line, end, rest = self._received.partition(_LINE_END)
        if not end:
            return False
        self._received = rest
        if self._check_length(line):
            self._receive(line.removesuffix(b"\r"))
        return True

    def _check_length(self, line: bytes) -> bool:
        """Send away a client whose line is too long, or never ends."""
        limit = self.site.max_command_bytes
        if len(line) <= limit:
            return True
        self._send_away(500, f"A command may have at most {limit} bytes.")
        return False

    def _receive(self, line: bytes) -> None:
        """Have the conversation take a line, and do what it says."""
        command: Line
        try:
            command = parse_command(line)
        except Refused as refused:
            command = refused
        verdict = self._conversation.receive(command, self.session.data is not None)
        if verdict is Verdict.ANSWER_NOW:
            self._begin(command)
        elif verdict is Verdict.ABORT:
            self.session.abort_data("The transfer was aborted.")

    def _run(self, command: Line) -> None:
        working = self._begin(command)
        if working is None:
            self._end()
        else:
            working.addCallback(self._end_later)

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
        except OTAServerError as error:
            # Without a Failure, whose making takes longer than most commands.
            self.session.reply(*code_and_text(error))
            return None
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
        if self.session.shell is not None and not self.is_closing:
            self._active_s = self.site.now_s

    def _read_or_not(self) -> None:
        """Read from the transport, or stop, as the conversation and the turns say."""
        reads = self._conversation.reads and self._progress is not _Progress.WAITING
        if reads == self._reads or self.is_closing:
            return
        self._reads = reads
        if reads:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def _release_reply(self) -> None:
        unread_reply, self._unread_reply = self._unread_reply, None
        if unread_reply is not None:
            unread_reply.release()

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
        self._received = b""
        self._active_s = self.site.now_s
        self.session.abort_data("The control connection is being closed.")
        self.transport.unregisterProducer()
        if not self._reads:
            # What the client still sends has to be read to be dropped.
            self._reads = True
            self.transport.resumeProducing()
