"""What the connections of one listening port share, whatever their protocol."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from otaserver.wire.connections import Connections
from otaserver.wire.events import ServedEvents
from otaserver.wire.limits import ConnectionLimits

_TICK_S = 1


class Listener:
    """Keeps the time, the connections, their limits, and the record of what was served.

    One clock call a second serves every connection: each compares its own deadline, so
    thousands of idle ones need no timers.

    Args:
        clock: gives the time.
        wall_s: the wall clock, in seconds since 1970.
        limits: how many connections there may be.
        events: takes an event for everything served.

    Attributes:
        clock: the clock itself, for what must be more precise than `now_s`.
        now_s: the time of the last tick on that clock, in seconds.
        wall_s: the wall clock, for dates alone: it can be set at any moment.
        connections: the open connections.
        served: records a request or transfer that has ended; see
            `otaserver.wire.events.ServedEvents.publish`.
    """

    def __init__(
        self,
        clock: Any,
        wall_s: Callable[[], float],
        limits: ConnectionLimits,
        events: ServedEvents,
    ) -> None:
        self.clock = clock
        self.wall_s = wall_s
        self.now_s: float = clock.seconds()
        self.connections = Connections(limits)
        # No method in between: this is called for everything that is served.
        self.served = events.publish
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
