"""The FTP site as a whole: what all its connections share."""

from dataclasses import dataclass
from time import gmtime, strftime
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from otaserver.access_log import AccessLog, quotable
from otaserver.connections import Connections
from otaserver.ftp.control import ControlConnection
from otaserver.ftp.login import LoginPolicy
from otaserver.ftp.network import Network
from otaserver.limits import ConnectionLimits
from otaserver.progress import Progress


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may take.

    Attributes:
        login_s: for logging in.
        idle_s: for sending the next command, after a reply.
        data_s: for opening a data connection, and for using it.
        stall_s: for taking at least `min_rate` bytes a second of a transfer.
        min_rate: see there.
    """

    login_s: float
    idle_s: float
    data_s: float
    stall_s: float
    min_rate: float


class FTPFactory(Factory):
    """Serves a release tree over FTP.

    Args:
        clock: gives the time.
        portal: lets users in; its realm knows `otaserver.ftp.shell.IShell`.
        network: opens data connections.
        login_policy: how hard it is to guess a password.
        limits: how many control connections there may be.
        timeouts: how long a client may take.
        max_command_bytes: how long a command may be.
        access_log: takes a line for each transfer; None for no such log.
        public_host: the address that clients are told to use, in canonical
            form; empty for the one that they reached.

    Attributes:
        connections: the control connections that there are.
        now_s: the time, in seconds since 1970, as of the last tick.
    """

    protocol = ControlConnection  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        *,
        clock: Any,
        portal: Portal,
        network: Network,
        login_policy: LoginPolicy,
        limits: ConnectionLimits,
        timeouts: Timeouts,
        max_command_bytes: int,
        access_log: AccessLog | None,
        public_host: str,
    ) -> None:
        self.clock = clock
        self.portal = portal
        self.network = network
        self.login_policy = login_policy
        self.timeouts = timeouts
        self.max_command_bytes = max_command_bytes
        self.public_host = public_host
        self.now_s: float = clock.seconds()
        self.connections = Connections(limits)
        self._access_log = access_log
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def startFactory(self) -> None:
        """Begin to look at the clock."""
        self._ticking.start(1)
        if self._access_log is not None:
            self._access_log.start()

    def stopFactory(self) -> None:
        """Stop looking at the clock, and write what is left of the log."""
        self._ticking.stop()
        if self._access_log is not None:
            self._access_log.stop()

    def progress(self) -> Progress:
        """Begin to watch a transfer."""
        return Progress(self.now_s, self.timeouts.stall_s, self.timeouts.min_rate)

    def log_transfer(
        self, peer_host: str, verb: str, path: bytes, code: int, size_bytes: int
    ) -> None:
        """Log a transfer as HTTP's requests are logged, in the combined format.

        Args:
            peer_host: the client's address; empty where it has none.
            verb: what it asked for.
            path: what it asked for it with, from the root.
            code: the reply's code.
            size_bytes: how much was sent, in bytes.
        """
        if self._access_log is not None:
            when = strftime("[%d/%b/%Y:%H:%M:%S +0000]", gmtime(self.now_s))
            self._access_log.add(
                f'{peer_host or "-"} - - {when} "{verb} {quotable(path)} FTP" '
                f'{code} {size_bytes} "-" "-"'
            )

    def _tick(self) -> None:
        self.now_s = self.clock.seconds()
        self.connections.check_time(self.now_s)
