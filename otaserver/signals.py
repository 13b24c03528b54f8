"""Signals: SIGHUP reads again what can be read again, and asking twice to stop is no error.

SIGHUP and SIGUSR1 would end the process otherwise. To SIGTERM and SIGINT Twisted reacts by
itself, but takes it for a fault if another one arrives before it has stopped.
"""

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Signals(Service):
    """What the server does about signals.

    Args:
        reactor: calls what a signal asks for, and has its own reactions to those that stop
            it.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._functions: list[tuple[str, Callable[[], Any]]] = []
        self._is_stopping = False

    def on_hang_up(self, deed: str, function: Callable[[], Any]) -> None:
        """Register a function.

        Args:
            deed: what it does, for the log.
            function: called in the reactor's thread at each SIGHUP.
        """
        self._functions.append((deed, function))

    def startService(self) -> None:
        """Begin to react."""
        super().startService()
        signal.signal(signal.SIGHUP, self._take_hang_up)
        if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
            # A tool that rotates logs may send it where no log is a file; an access log that
            # is one takes it itself.
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        # The reactor installs its own reactions when it starts to run.
        self._reactor.callWhenRunning(self._wrap_reactions)

    def stopService(self) -> None:
        """Ignore SIGHUP from now on: the server is ending anyway."""
        super().stopService()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _take_hang_up(self, number: int, frame: Any) -> None:
        self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        deeds = " and ".join(deed for deed, _ in self._functions)
        self.log.info("SIGHUP: {deeds}", deeds=deeds)
        for _, function in self._functions:
            function()

    def _wrap_reactions(self) -> None:
        for number in _STOPPING:
            reaction = signal.getsignal(number)
            if callable(reaction):
                signal.signal(number, self._once(reaction))

    def _once(self, reaction: Callable[[int, Any], Any]) -> Callable[[int, Any], None]:
        def react(number: int, frame: Any) -> None:
            if not self._is_stopping:
                self._is_stopping = True
                reaction(number, frame)

        return react
