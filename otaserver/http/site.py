"""The site as a whole: what all its connections share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import gmtime, strftime
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.web import server

from otaserver.access_log import AccessLog, quotable
from otaserver.byte_cache import ByteCache
from otaserver.catalogue import File
from otaserver.connections import Connections
from otaserver.http.answers import Answer, date_line
from otaserver.http.channel import Channel
from otaserver.http.content import Content
from otaserver.http.request import Request
from otaserver.limits import ConnectionLimits
from otaserver.worker import Worker

_Key = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may take.

    Attributes:
        request_s: for sending a request, from its first byte to its last.
        idle_s: for sending the next one, after an answer.
        stall_s: for taking at least `min_rate` bytes a second of an answer.
        min_rate: see there.
    """

    request_s: float
    idle_s: float
    stall_s: float
    min_rate: float


class Site(server.Site):
    """Serves a release tree.

    Args:
        clock: gives the time.
        root: the tree's folder, as an absolute path.
        content: what there is to serve.
        worker: does what would block.
        answers: keeps answers until the catalogue changes.
        limits: how many connections there may be.
        timeouts: how long a client may take.
        access_log: takes a line for each request; None for no such log.
        public_url: what URLs begin with; empty for the host that a client names.
        legacy: whether heads are for the original client.
    """

    # Twisted puts a proxy here that can change to HTTP/2, which nothing here speaks.
    protocol = Channel  # type: ignore[assignment]
    requestFactory = Request  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        *,
        clock: Any,
        root: str,
        content: Content,
        worker: Worker,
        answers: ByteCache[_Key, Answer],
        limits: ConnectionLimits,
        timeouts: Timeouts,
        access_log: AccessLog | None,
        public_url: str,
        legacy: bool,
    ) -> None:
        super().__init__(None, reactor=clock, timeout=None)
        self.content = content
        self.worker = worker
        self.timeouts = timeouts
        self.public_url = public_url
        self.legacy = legacy
        self._clock = clock
        self._root = root
        self._answers = answers
        self._generation = 0
        self.connections = Connections(limits)
        self._access_log = access_log
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock
        self._tick()

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

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 and nothing else over TLS."""
        return [b"http/1.1"]

    def known_answer(self, uri: bytes, hosts: Sequence[bytes]) -> Answer | None:
        """Find what was answered before to the same request."""
        return self._answers.get((uri, *hosts)) if len(hosts) == 1 else None

    def remember(self, uri: bytes, hosts: Sequence[bytes]) -> Callable[[Answer], Answer]:
        """Keep the answer that comes, unless the catalogue changes first."""
        generation = self._generation

        def keep(answer: Answer) -> Answer:
            if len(hosts) == 1 and answer.etag and generation == self._generation:
                # The address counts: a client can make it longer than the answer.
                self._answers.put((uri, *hosts), answer, len(answer.body) + len(uri))
            return answer

        return keep

    def catalogue_changed(self) -> None:
        """Forget every answer."""
        self._generation += 1
        self._answers.clear()

    def path_of(self, file: File) -> str:
        """Tell where a file is on disk."""
        return f"{self._root}/{file.path}"

    def log(self, request: Any) -> None:
        """Log an answered request in the combined log format."""
        if self._access_log is None:
            return
        agents = request.requestHeaders.getRawHeaders(b"User-Agent")
        agent = quotable(agents[0]) if agents else "-"
        self._access_log.add(
            f"{request.channel.peer_host or '-'} - - {self._log_time} "
            f'"{request.method.decode()} {quotable(request.uri)} {request.clientproto.decode()}" '
            f'{int(request.code)} {request.sentLength} "-" "{agent}"'
        )

    def log_refusal(self, channel: Channel, answer: Answer) -> None:
        """Log something that was no request."""
        if self._access_log is not None:
            self._access_log.add(
                f'{channel.peer_host or "-"} - - {self._log_time} "-" '
                f'{int(answer.status)} {len(answer.body)} "-" "-"'
            )

    def _tick(self) -> None:
        self.now_s = self._clock.seconds()
        self.date_line = date_line(int(self.now_s))
        self._log_time = strftime("[%d/%b/%Y:%H:%M:%S +0000]", gmtime(self.now_s))
        self.connections.check_time(self.now_s)
