"""The order of commands and replies on a control connection, as a table; no I/O in it.

RFC 959, section 5.4, has one command answered at a time. Clients pipeline them all the
same, some commands take long, and some clients don't read their replies. `State` says
how things stand, `Event` what can happen, `TRANSITIONS` what follows, and `RULES` what
may happen meanwhile:

    READY        a command runs as soon as it arrives
    BUSY         one is running: further ones are queued, except that STAT is answered at
                 once if the queue is empty, and ABOR takes effect at once
    UNREAD       the client doesn't read its replies: no command is run or read
    BUSY_UNREAD  both
    CLOSING      the last reply has been sent; whatever still arrives is dropped

The queue is short, in commands and in bytes. While it is full, nothing more is read; what
the client sends then stays in the kernel, whose backpressure makes it wait.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from otaserver.ftp.command_line import CommandLine
from otaserver.ftp.errors import Refused

MAX_WAITING_COMMANDS = 32
MAX_WAITING_BYTES = 4096

# RFC 959, section 4.1.3: this may be sent, and is answered, during a transfer.
_STATUS = CommandLine("STAT", b"")

# A command, or what is wrong with a line that isn't one.
Line = CommandLine | Refused


class State(Enum):
    """The state of a control connection."""

    READY = "ready"
    BUSY = "busy"
    UNREAD = "unread"
    BUSY_UNREAD = "busy, unread"
    CLOSING = "closing"


class Event(Enum):
    """What can happen on a control connection."""

    BEGIN = "a command begins"
    END = "it ends"
    PAUSE = "the client has stopped reading replies"
    RESUME = "it reads them again"
    CLOSE = "the last reply has been sent, or the connection is lost"


TRANSITIONS: Mapping[State, Mapping[Event, State]] = MappingProxyType(
    {
        State.READY: {
            Event.BEGIN: State.BUSY,
            Event.PAUSE: State.UNREAD,
            Event.RESUME: State.READY,
            Event.CLOSE: State.CLOSING,
        },
        State.BUSY: {
            Event.END: State.READY,
            Event.PAUSE: State.BUSY_UNREAD,
            Event.RESUME: State.BUSY,
            Event.CLOSE: State.CLOSING,
        },
        State.UNREAD: {
            Event.PAUSE: State.UNREAD,
            Event.RESUME: State.READY,
            Event.CLOSE: State.CLOSING,
        },
        State.BUSY_UNREAD: {
            Event.END: State.UNREAD,
            Event.PAUSE: State.BUSY_UNREAD,
            Event.RESUME: State.BUSY,
            Event.CLOSE: State.CLOSING,
        },
        # What is in progress when the connection closes still comes to its end.
        State.CLOSING: dict.fromkeys(Event, State.CLOSING),
    }
)


class Rules(NamedTuple):
    """What may happen in a state.

    Attributes:
        does_commands: whether the next command may begin.
        reads: whether the connection is read, if the queue has room.
        has_deadline: whether the server is waiting for the client.
    """

    does_commands: bool
    reads: bool
    has_deadline: bool


RULES: Mapping[State, Rules] = MappingProxyType(
    {
        State.READY: Rules(does_commands=True, reads=True, has_deadline=True),
        State.BUSY: Rules(does_commands=False, reads=True, has_deadline=False),
        State.UNREAD: Rules(does_commands=False, reads=False, has_deadline=True),
        State.BUSY_UNREAD: Rules(does_commands=False, reads=False, has_deadline=False),
        State.CLOSING: Rules(does_commands=False, reads=True, has_deadline=True),
    }
)


class ConversationError(Exception):
    """An event that can't happen in the current state: a bug in this server."""


class Verdict(Enum):
    """What to do about a line that has arrived."""

    DO = "call `next` now"
    ANSWER_NOW = "answer it, though another command is running"
    ABORT = "it is queued, and takes effect now"
    WAIT = "it is queued"
    DROP = "nothing"


class Conversation:
    """One control connection's conversation.

    Attributes:
        state: how things stand.
    """

    __slots__ = ("_queue", "state")

    def __init__(self) -> None:
        self.state = State.READY
        # Made when it is needed: thousands of idle connections need none.
        self._queue: deque[Line] | None = None

    @property
    def is_closing(self) -> bool:
        """Whether the last reply has been sent."""
        return self.state is State.CLOSING

    @property
    def is_unread(self) -> bool:
        """Whether the client has yet to read replies."""
        return self.state in (State.UNREAD, State.BUSY_UNREAD)

    @property
    def has_deadline(self) -> bool:
        """Whether the server is waiting for the client."""
        return RULES[self.state].has_deadline

    @property
    def reads(self) -> bool:
        """Whether to read from the connection."""
        return RULES[self.state].reads and not self._is_full

    @property
    def has_next(self) -> bool:
        """Whether `next` would return a command."""
        return bool(self._queue) and RULES[self.state].does_commands

    @property
    def _is_full(self) -> bool:
        queue = self._queue
        return queue is not None and (
            len(queue) >= MAX_WAITING_COMMANDS
            or sum(len(line.argument) for line in queue if isinstance(line, CommandLine))
            >= MAX_WAITING_BYTES
        )

    def happen(self, event: Event) -> None:
        """Go to the next state.

        Args:
            event: what has happened.

        Raises:
            ConversationError: it can't happen now.
        """
        try:
            self.state = TRANSITIONS[self.state][event]
        except KeyError as error:
            raise ConversationError(f"{event} in state {self.state}") from error
        if self.state is State.CLOSING:
            self._queue = None

    def receive(self, line: Line, is_transferring: bool = False) -> Verdict:
        """Queue a line that has arrived, unless it can be dealt with now.

        Args:
            line: the command, or what is wrong with it.
            is_transferring: whether there is a data connection to ask about.

        Returns:
            What to do about it.
        """
        if self.state is State.CLOSING:
            return Verdict.DROP
        is_question = line == _STATUS and is_transferring
        if is_question and self.state is State.BUSY and not self._queue:
            return Verdict.ANSWER_NOW
        if self._queue is None:
            self._queue = deque()
        self._queue.append(line)
        if RULES[self.state].does_commands:
            return Verdict.DO
        is_abort = isinstance(line, CommandLine) and line.verb == "ABOR"
        return Verdict.ABORT if is_abort else Verdict.WAIT

    def next(self) -> Line | None:
        """Take the next command out of the queue, if it may begin.

        Returns:
            The command, which counts as begun; None if none is queued, or none may begin.
        """
        if not self._queue or not RULES[self.state].does_commands:
            return None
        line = self._queue.popleft()
        if not self._queue:
            self._queue = None
        self.happen(Event.BEGIN)
        return line
