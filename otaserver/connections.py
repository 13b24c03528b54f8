"""The connections of one site: which there are, and which are too many."""

from enum import Enum
from typing import Protocol

from twisted.logger import Logger

from otaserver.limits import ConnectionLimits

# How many connections that are one too many may linger to be told so.
MAX_REFUSED = 100


class Admission(Enum):
    """What becomes of a new connection."""

    ADMITTED = "it is served"
    REFUSED = "it is told that there are too many"
    DROPPED = "it is closed without a word"


class Connection(Protocol):
    """What has to be known of a connection.

    Attributes:
        peer_host: the client's address; empty where it has none.
    """

    peer_host: str

    def check_time(self, now_s: float) -> None:
        """End what takes too long."""


class Connections:
    """Keeps the connections of one site.

    Args:
        limits: how many there may be.
    """

    log = Logger()

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._refused = 0
        self._admissions: dict[Connection, Admission] = {}

    def add(self, connection: Connection) -> Admission:
        """Take up a connection, if there is a place for it."""
        if self._limits.admit(connection.peer_host):
            admission = Admission.ADMITTED
        elif self._refused < MAX_REFUSED:
            self._refused += 1
            admission = Admission.REFUSED
        else:
            admission = Admission.DROPPED
        self._admissions[connection] = admission
        return admission

    def remove(self, connection: Connection) -> None:
        """Give up a connection's place, now that it has ended."""
        admission = self._admissions.pop(connection)
        if admission is Admission.ADMITTED:
            self._limits.release(connection.peer_host)
        elif admission is Admission.REFUSED:
            self._refused -= 1

    def check_time(self, now_s: float) -> None:
        """Have each connection end what takes too long.

        Args:
            now_s: the time, in seconds.
        """
        for connection in list(self._admissions):
            try:
                connection.check_time(now_s)
            except Exception:
                # One that goes wrong must not keep the others from being looked at.
                self.log.failure("A connection could not be looked at")

    def __len__(self) -> int:
        return len(self._admissions)
