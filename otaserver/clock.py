"""The server's clocks: durations come from one that is never set, dates from the wall clock.

The clock of a computer without a battery starts somewhere in the past, and jumps when the
first satellite or time server sets it. No time-out, scan or transfer may notice.

How it works. A reactor of Twisted's takes its time from its attribute ``seconds``, which is
the wall clock: for what a program measures, for the moment at which a delayed call is due,
and for how long to wait until then. Set back by an hour, it delays every call by an hour, also
those of Twisted's own, such as a TLS connection's writes; set forward, it lets all deadlines
pass at once. `make_steady` replaces it, before the reactor runs, by the monotonic clock. From
then on, the reactor is the `Clock` that everything is given, and `seconds` is good for
durations only. Whatever needs a date is given a function by the name of ``wall_s`` as well.

Why it is safe. The reactor asks nothing else for the time, and its waits (``epoll_wait`` and
the like) have always been measured on the monotonic clock. The time goes on from what it was,
so calls that are scheduled already stay due when they were. None of Twisted that is used here
takes the reactor's time for a date: its log, for one, asks ``time.time``.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol


class DelayedCall(Protocol):
    """A scheduled call. See `twisted.internet.interfaces.IDelayedCall`."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """The time-keeping part of a reactor. See `twisted.internet.interfaces.IReactorTime`."""

    def seconds(self) -> float:
        """Return the time on a clock that is never set; only differences mean something.

        Returns:
            The time in seconds.
        """

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> DelayedCall:
        """Schedule a call.

        Args:
            delay: how long to wait, in seconds.
            callable: what to call.
            args: its arguments.

        Returns:
            The scheduled call, which can be cancelled.
        """


def make_steady(reactor: Any, monotonic_s: Callable[[], float] = time.monotonic) -> None:
    """Detach a reactor's time from the wall clock; a second time, this changes nothing.

    Args:
        reactor: the reactor, before it runs.
        monotonic_s: a clock that is never set, in seconds.
    """
    ahead_s = reactor.seconds() - monotonic_s()
    reactor.seconds = lambda: ahead_s + monotonic_s()
