"""A site in memory, and a client that talks to it without a network."""

from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from otaserver.catalogue.model import Catalogue
from otaserver.encoded_manifests import EncodedManifests
from otaserver.http.routes import Routes
from otaserver.http.site import Site
from otaserver.http.state import SiteState, Timeouts
from otaserver.library_forms import LibraryForms
from otaserver.mip.library import library_folder
from otaserver.packages import Packages
from otaserver.service import UpdateServer
from otaserver.wire.access_log import CombinedFormat
from otaserver.wire.events import Served, ServedEvents
from otaserver.wire.limits import ConnectionLimits
from otaserver.wire.listener import Listener, Shared
from otaserver.wire.turns import Turns
from otaserver.wire.unread import UnreadAnswers
from tests.support.trees import files_of, scanned
from tests.support.worker import ImmediateWorker

BUFFER_BYTES = 1 << 16
NOW_S = 1_700_000_000
LIBRARY_VERSION = "0.9"


@dataclass
class Response:
    """One answer, taken apart."""

    status: int
    version: str
    fields: dict[str, str]
    body: bytes
    head_bytes: int

    @property
    def text(self) -> str:
        return self.body.decode()


def parse_responses(data: bytes, heads: int = 0) -> list[Response]:
    """Take a stream of answers apart; the first ``heads`` have no body."""
    responses: list[Response] = []
    start = 0
    while start < len(data):
        end = data.find(b"\r\n\r\n", start) + 4
        assert end >= 4, f"a head without an end: {data[start : start + 200]!r}"
        head = data[start : end - 4]
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon and name not in fields, line
            fields[name] = value
        length = int(fields.get("Content-Length", 0))
        if len(responses) < heads or status == "304":
            length = 0
        start = end + length
        assert len(data) >= start, f"{len(data) - end} bytes of {length}"
        responses.append(Response(int(status), version, fields, data[end:start], len(head) + 4))
    return responses


class Wire(StringTransport):
    """A connection whose other side takes everything at once, unless it is stalled.

    Like Twisted's own it asks a pull producer for more when its buffer is empty,
    and pauses a push producer when it is full.
    """

    is_stalled = False
    aborted = False
    write_closed = False

    def __init__(self, peer: str, secure: bool = False) -> None:
        super().__init__(IPv4Address("TCP", "192.0.2.80", 8000), IPv4Address("TCP", peer, 5000))
        self._taken = bytearray()
        self.is_reading = True
        self._is_pumping = False
        self._has_paused = False
        if secure:
            directlyProvides(self, providedBy(self), ISSLTransport)

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if self.aborted or self.write_closed:
            return
        super().write(data)
        if not self.is_stalled:
            self._pump()
        elif self.buffered > BUFFER_BYTES and self.producer is not None and self.streaming:
            self._has_paused = True
            self.producer.pauseProducing()

    @property
    def taken(self) -> bytes:
        """All that the other side has taken."""
        return bytes(self._taken)

    def forget_taken(self) -> None:
        self._taken.clear()

    @property
    def buffered(self) -> int:
        return self.io.tell()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()
            if not self.is_stalled:
                self._pump()

    def unstall(self) -> None:
        """Take all that there is, and whatever follows."""
        self.is_stalled = False
        self._pump()

    def take(self) -> None:
        """Take what is buffered, and no more than one turn of what follows."""
        self._drain()
        if self.producer is not None:
            self.producer.resumeProducing()

    def _drain(self) -> None:
        self._taken += self.value()
        self.clear()

    def _pump(self) -> None:
        if self._is_pumping:
            return
        self._is_pumping = True
        self._drain()
        while self._has_pull_producer and not self.is_stalled and not self.aborted:
            assert self.producer is not None
            self.producer.resumeProducing()
            self._drain()
        self._is_pumping = False
        if self._has_paused and self.producer is not None and self.streaming:
            self._has_paused = False
            self.producer.resumeProducing()

    @property
    def _has_pull_producer(self) -> bool:
        return self.producer is not None and not self.streaming

    def unregisterProducer(self) -> None:
        if self.producer is not None:
            super().unregisterProducer()

    def startWriting(self) -> None:
        pass

    def pauseProducing(self) -> None:
        self.is_reading = False

    def resumeProducing(self) -> None:
        self.is_reading = True

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        self.aborted = True


@dataclass
class Client:
    """One connection to a site."""

    site: Site
    peer: str = "192.0.2.1"
    secure: bool = False
    channel: Any = field(init=False)
    wire: Wire = field(init=False)

    def __post_init__(self) -> None:
        self.wire = Wire(self.peer, self.secure)
        self.channel = self.site.buildProtocol(self.wire.getPeer())
        self.channel.makeConnection(self.wire)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)
        self.take_turns()

    def take_turns(self) -> None:
        """Let the reactor turn until nothing is left to do at once."""
        clock = self.site.state.listener.clock
        while any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls()):
            clock.advance(0)

    def answers(self, heads: int = 0) -> list[Response]:
        """The answers since the last time."""
        self.take_turns()
        taken = self.wire.taken
        self.wire.forget_taken()
        return parse_responses(taken, heads)

    def ask(self, target: str, *lines: str, method: str = "GET", version: str = "1.1") -> Response:
        """Send one request and take its one answer."""
        if not any(line.lower().startswith("host:") for line in lines):
            lines = ("Host: ota.test", *lines)
        head = "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""])
        self.send(head.encode("latin-1"))
        (response,) = self.answers(heads=1 if method == "HEAD" else 0)
        return response

    @property
    def is_closing(self) -> bool:
        return self.wire.disconnecting or self.wire.aborted or self.wire.write_closed

    def hang_up(self, clean: bool = False) -> None:
        producer = self.wire.producer
        self.wire.aborted = True
        if producer is not None:
            producer.stopProducing()
        self.channel.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))


class Lines:
    """What the access log would say."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._format = CombinedFormat()

    def add(self, event: Served) -> None:
        self.lines.append(self._format.line(event))


class Bench:
    """A site over a tree in a folder, with a clock that the test moves."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.clock = Clock()
        # Shortly after the computer has started.
        self.clock.advance(50)
        self.ahead_s = NOW_S - self.clock.seconds()
        self.root = root
        self.catalogue: Catalogue | None = scanned(root)
        self.worker = options.pop("worker", ImmediateWorker())
        legacy = options.pop("legacy", False)
        public_url = options.pop("public_url", "")
        self.manifests = EncodedManifests(
            self.worker, 1 << 20, legacy, varies_by_host=not public_url
        )
        self.server = UpdateServer(
            files_of(root, options.pop("disk_worker", None), self.clock),
            lambda: self.catalogue,
            self.manifests,
            options.pop("observers", ()),
        )
        self.packages = Packages(
            lambda: self.catalogue,
            self.worker,
            LibraryForms(
                self.worker,
                options.pop("library", library_folder()),
                options.pop("compiler", None),
            ),
            LIBRARY_VERSION,
        )
        self.routes = Routes(
            self.server, self.packages, self.worker, options.pop("cache_bytes", 1 << 20)
        )
        self.lines = Lines()
        self.events = ServedEvents()
        if options.pop("is_logged", True):
            self.events.subscribe(self.lines.add)
        self.limits = ConnectionLimits(
            options.pop("max_connections", 0), options.pop("max_per_address", 0)
        )
        self.unread = UnreadAnswers(self.clock, options.pop("unread_bytes", 1 << 20))
        self.timeouts = Timeouts(
            **{"request_s": 30, "idle_s": 60, "stall_s": 60, "min_rate": 100}
            | options.pop("timeouts", {})
        )
        turns = Turns(self.clock)
        shared = Shared(self.clock, self.wall_s, self.events, turns, self.unread)
        self.state = SiteState(
            listener=Listener(shared, self.limits),
            server=self.server,
            routes=self.routes,
            timeouts=self.timeouts,
            public_url=public_url,
            legacy=legacy,
        )
        self.site = Site(self.state)
        assert not options, options
        self.site.startFactory()

    def client(self, **options: Any) -> Client:
        return Client(self.site, **options)

    def ask(self, target: str, *lines: str, **options: Any) -> Response:
        """Ask one thing over a connection of its own."""
        return self.client().ask(target, *lines, **options)

    def rescan(self) -> None:
        """Take a new picture, as the watch does when the tree has changed."""
        self.catalogue = scanned(self.root)
        self.manifests.clear()
        self.packages.clear()
        self.routes.clear()

    def wall_s(self) -> float:
        """The wall clock: so far ahead of the other; a test sets it by changing that."""
        return self.clock.seconds() + self.ahead_s

    def pass_s(self, seconds: float) -> None:
        for _ in range(ceil(seconds)):
            self.clock.advance(1)
