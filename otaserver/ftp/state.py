"""The state of the FTP site, without a socket in it: what all its connections share."""

from dataclasses import dataclass

from twisted.cred.portal import Portal

from otaserver.ftp.login import LoginPolicy
from otaserver.ftp.network import Network
from otaserver.wire.listener import Listener
from otaserver.wire.stall import StallDetector


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may take.

    Attributes:
        login_s: to log in.
        idle_s: to send the next command, after a reply.
        data_s: to open a data connection, and to begin to use it.
        stall_s: to accept a transfer more slowly than `min_rate`.
        min_rate: the lowest acceptable rate, in bytes per second; 0 for none.
    """

    login_s: float
    idle_s: float
    data_s: float
    stall_s: float
    min_rate: float


@dataclass(frozen=True, slots=True)
class SiteState:
    """What the control connections of the FTP site share.

    Attributes:
        listener: the time, the connections, and the record of what was served.
        portal: lets users in; its realm provides `otaserver.ftp.shell.IShell`.
        network: opens data connections.
        login_policy: limits on password guessing.
        timeouts: how long a client may take.
        max_command_bytes: how long a command may be.
        public_host: the address that clients are told to use, in canonical form;
            empty for the one that they reached.
    """

    listener: Listener
    portal: Portal
    network: Network
    login_policy: LoginPolicy
    timeouts: Timeouts
    max_command_bytes: int
    public_host: str

    @property
    def now_s(self) -> float:
        """The time of the last tick, in seconds; see `Listener.now_s`."""
        return self.listener.now_s

    def stall_detector(self) -> StallDetector:
        """Start watching a transfer.

        Returns:
            The detector, which decides whether the transfer makes progress.
        """
        return StallDetector(self.now_s, self.timeouts.stall_s, self.timeouts.min_rate)
