"""The connections of one listening port, and which of them are too many."""

from enum import Enum
from typing import Protocol

from twisted.logger import Logger

from otaserver.wire.limits import ConnectionLimits

# How many connections may be open only to be told that there are too many.
MAX_REFUSED = 100


class Admission(Enum):
    """What happens to a new connection."""

    ADMITTED = "served"
    REFUSED = "told that there are too many"
    DROPPED = "closed without an answer"


class Connection(Protocol):
    """What `Connections` needs to know of a connection."""

    @property
    def peer_host(self) -> str:
        """The client's address; empty if it has none."""

    def check_time(self, now_s: float) -> None:
        """End what takes too long.

        Args:
            now_s: the time, in seconds.
        """


class Connections:
    """Keeps the connections of one listening port.

    Args:
        limits: how many there may be.
    """

    log = Logger()

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._refused = 0
        self._admissions: dict[Connection, Admission] = {}

    def add(self, connection: Connection) -> Admission:
        """Admit a connection, if there is room for it.

        Args:
            connection: the new one.

        Returns:
            What is to happen to it; whatever that is, it must be removed later.
        """
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
        """Make room, because a connection has ended.

        Args:
            connection: one that was added.
        """
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
                # A fault in one must not leave the others unchecked.
                self.log.failure("The deadline of a connection could not be checked")

    def __len__(self) -> int:
        return len(self._admissions)
