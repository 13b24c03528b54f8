"""The state of the HTTP site, without a socket in it: what all its connections share."""

from dataclasses import dataclass

from otaserver.http.answers import date_line
from otaserver.http.routes import Routes
from otaserver.service import UpdateServer
from otaserver.wire.listener import Listener


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may take.

    Attributes:
        request_s: to send a request; the first one is timed from the connection.
        idle_s: to begin the next one, after an answer.
        stall_s: to accept an answer more slowly than `min_rate`.
        min_rate: the lowest acceptable rate, in bytes per second; 0 for none.
    """

    request_s: float
    idle_s: float
    stall_s: float
    min_rate: float


class SiteState:
    """What the connections of the HTTP site share.

    Args:
        listener: the time, the connections, and the record of what was served.
        server: finds what is served.
        routes: knows what each URI leads to.
        timeouts: how long a client may take.
        public_url: what URLs begin with; empty for the host that a client names.
        legacy: whether heads are padded for the original client.
    """

    def __init__(
        self,
        *,
        listener: Listener,
        server: UpdateServer,
        routes: Routes,
        timeouts: Timeouts,
        public_url: str,
        legacy: bool,
    ) -> None:
        self.listener = listener
        self.server = server
        self.routes = routes
        self.timeouts = timeouts
        self.public_url = public_url
        self.legacy = legacy
        self._dated_s = -1.0
        self._date_line = b""

    @property
    def date_line(self) -> bytes:
        """The ``Date`` header line; it is renewed once a second."""
        now_s = self.listener.now_s
        if now_s != self._dated_s:
            self._dated_s = now_s
            self._date_line = date_line(int(self.listener.wall_s()))
        return self._date_line
