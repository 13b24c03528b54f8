"""What connections share, whatever their protocol: of one listening port, or of all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from otaserver.wire.connections import Connections
from otaserver.wire.events import ServedEvents
from otaserver.wire.limits import ConnectionLimits
from otaserver.wire.turns import Turns
from otaserver.wire.unread import UnreadAnswers

_TICK_S = 1


@dataclass(frozen=True, slots=True)
class Shared:
    """What all listening ports share.

    Attributes:
        clock: gives the time.
        wall_s: the wall clock, in seconds since 1970.
        events: takes an event for everything served.
        turns: divides the reactor's time among connections.
        unread: limits what large answers hold together.
    """

    clock: Any
    wall_s: Callable[[], float]
    events: ServedEvents
    turns: Turns
    unread: UnreadAnswers


class Listener:
    """Keeps the time, the connections, their limits, and the record of what was served.

    One clock call a second serves every connection: each compares its own deadline, so
    thousands of idle ones need no timers.

    Args:
        shared: what all ports share.
        limits: how many connections there may be.

    Attributes:
        clock: the clock itself, for what must be more precise than `now_s`.
        now_s: the time of the last tick on that clock, in seconds.
        wall_s: the wall clock, for dates alone: it can be set at any moment.
        connections: the open connections.
        served: records a request or transfer that has ended; see
            `otaserver.wire.events.ServedEvents.publish`.
        turns: divides the reactor's time among the connections of all ports.
        unread: limits what large answers hold together, on all ports.
    """

    def __init__(self, shared: Shared, limits: ConnectionLimits) -> None:
        self.clock = clock = shared.clock
        self.wall_s = shared.wall_s
        self.turns = shared.turns
        self.unread = shared.unread
        self.now_s: float = clock.seconds()
        self.connections = Connections(limits)
        # No method in between: this is called for everything that is served.
        self.served = shared.events.publish
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def start(self) -> None:
        """Start ticking."""
        self._ticking.start(_TICK_S)

    def stop(self) -> None:
        """Stop ticking."""
        self._ticking.stop()

    def _tick(self) -> None:
        self.now_s = self.clock.seconds()
        self.connections.check_time(self.now_s)


class _ListenerState(Protocol):
    @property
    def listener(self) -> Listener: ...


_S = TypeVar("_S", bound=_ListenerState)


class ListeningFactory(Factory, Generic[_S]):
    """A factory whose connections share a state, and have their deadlines checked.

    Args:
        state: what its connections share.
    """

    noisy = False

    def __init__(self, state: _S) -> None:
        self.state = state

    def startFactory(self) -> None:
        """Start checking deadlines."""
        self.state.listener.start()

    def stopFactory(self) -> None:
        """Stop checking deadlines."""
        self.state.listener.stop()
