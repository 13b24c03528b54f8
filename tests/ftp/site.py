"""An FTP site in memory: a real tree and the real protocol, with a clock and a network to play."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twisted.cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import Interface

from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.model import Catalogue
from otaserver.catalogue.scan import Scanner
from otaserver.encoded_manifests import EncodedManifests
from otaserver.ftp.addresses import Address
from otaserver.ftp.control import ControlConnection
from otaserver.ftp.factory import FTPFactory
from otaserver.ftp.login import LoginPolicy
from otaserver.ftp.shell import ReadOnlyShell, Realm
from otaserver.ftp.state import SiteState, Timeouts
from otaserver.service import DeviceObserver, UpdateServer
from otaserver.wire.access_log import CombinedFormat
from otaserver.wire.events import Served, ServedEvents
from otaserver.wire.limits import ConnectionLimits
from otaserver.wire.listener import Listener, Shared
from otaserver.wire.turns import Turns
from otaserver.wire.unread import UnreadAnswers
from tests.support.trees import files_of
from tests.support.worker import LateWorker

CLIENT = "192.0.2.7"
SERVER = "198.51.100.1"
FTP_PORT = 2121
MAX_UNREAD_BYTES = 700_000
NOW_S = 1_790_000_000

TIMEOUTS = Timeouts(login_s=60, idle_s=300, data_s=30, stall_s=60, min_rate=100)
LOGIN_POLICY = LoginPolicy(attempts=3, delay_s=2)
MAX_COMMAND_BYTES = 1024

# What a transport of Twisted's takes before it pauses who writes.
BUFFER_BYTES = 1 << 16


class Worker(LateWorker):
    """Does work at once, or, once `is_held` is set, when it is told to."""

    is_held = False

    def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> "Deferred[Any]":
        if self.is_held:
            return super().run(work, *args, **kwargs)
        return maybeDeferred(work, *args, **kwargs)


class Transport(StringTransport):
    """A transport that ends as a real one does: it tells the producer and the protocol."""

    def __init__(
        self,
        protocol: Protocol | ControlConnection,
        host: IPv4Address | IPv6Address,
        peer: IPv4Address | IPv6Address,
    ) -> None:
        super().__init__(host, peer, lenient=True)
        self.protocol = protocol
        self.is_aborted = False

    def loseConnection(self) -> None:
        super().loseConnection()
        if self.producer is None:
            self.end(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        self.is_aborted = True
        self.end(Failure(ConnectionAborted()))

    def end(self, reason: Failure | None = None) -> None:
        if not self.connected:
            return
        self.connected = False
        self.disconnected = True
        if self.producer is not None and not self.streaming:
            self.producer.stopProducing()
        self.protocol.connectionLost(reason or Failure(ConnectionDone()))

    def write(self, data: bytes) -> None:
        if not self.connected:
            return
        super().write(data)
        if self.streaming and len(self.value()) > BUFFER_BYTES:
            assert self.producer is not None
            self.producer.pauseProducing()

    def take(self, limit: int = 1 << 30) -> bytes:
        """Let so many turns pass in which the other side reads everything."""
        while self.connected and self.producer is not None and not self.streaming and limit:
            self.producer.resumeProducing()
            limit -= 1
        return self.value()


@dataclass
class FakePort:
    """A port that was opened."""

    number: int
    host: str
    peer_host: str
    protocol: Any
    is_open: bool = True

    def close(self) -> None:
        self.is_open = False

    def turn_away(self, host: str) -> None:
        """Somebody else connects."""
        assert self.is_open
        self.protocol.turn_away(host)

    def take_client(self) -> Transport:
        """The client connects."""
        assert self.is_open
        self.is_open = False
        return connected(self.protocol, self.host, self.number, self.peer_host)


@dataclass
class Network:
    """Ports and connections that no packet ever reaches."""

    ports: list[FakePort] = field(default_factory=list)
    connecting: list[tuple[Address, str, Protocol, "Deferred[Any]"]] = field(default_factory=list)
    is_full: bool = False

    def listen(self, host: str, peer_host: str, protocol: Any) -> FakePort:
        if self.is_full:
            raise OSError("Address already in use")
        self.ports.append(FakePort(40_000 + len(self.ports), host, peer_host, protocol))
        return self.ports[-1]

    def connect(
        self, address: Address, from_host: str, timeout_s: float, protocol: Protocol
    ) -> "Deferred[Any]":
        self.connecting.append((address, from_host, protocol, Deferred()))
        return self.connecting[-1][-1]

    @property
    def open_ports(self) -> list[FakePort]:
        return [port for port in self.ports if port.is_open]

    def accept(self) -> Transport:
        """The client takes the connection that the server makes."""
        address, from_host, protocol, made = self.connecting[-1]
        transport = connected(protocol, from_host, 20_000, address.host)
        made.callback(protocol)
        return transport

    def refuse(self) -> None:
        """The client does not."""
        self.connecting[-1][-1].errback(Failure(ConnectionRefusedError()))


class Client:
    """The client's end of a control connection."""

    def __init__(self, site: "Site", peer: str, host: str, port: int, ends: bool = True) -> None:
        self.site = site
        self.control: ControlConnection = site.factory.buildProtocol(None)
        self.transport = Transport(self.control, address_of(host, port), address_of(peer, 50_000))
        if not ends:
            self.transport.loseConnection = lambda: None  # type: ignore[method-assign]
        self.control.makeConnection(self.transport)

    def send(self, raw: bytes) -> list[str]:
        """Send bytes; returns the lines that come back."""
        if self.transport.connected:
            self.control.dataReceived(raw)
        return self.replies()

    def replies(self) -> list[str]:
        lines = self.transport.value().decode().split("\r\n")
        self.transport.clear()
        assert lines[-1] == ""
        return lines[:-1]

    def ask(self, command: str) -> str:
        """Send a command; returns its reply, of however many lines."""
        return "\n".join(self.send(command.encode() + b"\r\n"))

    def code(self, command: str) -> int:
        """Send a command; returns the code of its one reply."""
        lines = self.send(command.encode() + b"\r\n")
        assert len(lines) == 1, lines
        return int(lines[0][:3])

    def open(self) -> Transport:
        """Open a data connection, before the command."""
        assert self.code("EPSV") == 229
        return self.site.network.ports[-1].take_client()

    def fetch(self, command: str) -> bytes:
        """Do a transfer, and check that nothing is left of it."""
        data = self.open()
        begin = self.ask(command)
        assert begin.startswith("150"), begin
        body = data.take()
        assert self.replies() == ["226 Sent."]
        assert not data.connected
        assert self.site.network.open_ports == []
        return body

    @property
    def is_connected(self) -> bool:
        return self.transport.connected


class Site:
    """A site that serves a folder."""

    def __init__(
        self,
        root: Path,
        *,
        in_all: int = 10,
        per_address: int = 5,
        public_host: str = "",
        legacy: bool = False,
        observers: tuple[DeviceObserver, ...] = (),
    ) -> None:
        self.clock = Clock()
        # Shortly after the computer has started.
        self.clock.advance(50)
        self.ahead_s = NOW_S - self.clock.seconds()
        self.worker = Worker()
        self.network = Network()
        self.log: list[str] = []
        self.log_outs = 0
        self._clients: list[Client] = []
        self.root = root
        self._hashes = HashStore(":memory:")
        self.catalogue: Catalogue | None = None
        self.manifests = EncodedManifests(self.worker, 1 << 20, legacy)
        self.scan()
        server = UpdateServer(
            files_of(root, self.worker, self.clock),
            lambda: self.catalogue,
            self.manifests,
            observers,
        )
        shell = ReadOnlyShell(server, self.worker)
        # Zope's interfaces say nothing to the checker of types.
        realm: Any = CountingRealm(shell, self)
        users = InMemoryUsernamePasswordDatabaseDontUse(olga=b"right")
        checkers: list[Any] = [AllowAnonymousAccess(), users]
        line_format = CombinedFormat()
        self.events: list[Served] = []
        events = ServedEvents()
        events.subscribe(self.events.append)
        events.subscribe(lambda event: self.log.append(line_format.line(event)))
        self.unread = UnreadAnswers(self.clock, MAX_UNREAD_BYTES)
        shared = Shared(self.clock, self.wall_s, events, Turns(self.clock), self.unread)
        self.factory = FTPFactory(
            SiteState(
                listener=Listener(shared, ConnectionLimits(in_all, per_address)),
                portal=Portal(realm, checkers),
                network=self.network,
                login_policy=LOGIN_POLICY,
                timeouts=TIMEOUTS,
                max_command_bytes=MAX_COMMAND_BYTES,
                public_host=public_host,
            )
        )
        self.factory.doStart()

    def change(self, **fields: Any) -> None:
        """Change what later connections share."""
        self.factory.state = replace(self.factory.state, **fields)

    def scan(self) -> None:
        """Take a new picture of the tree."""
        self.catalogue = Scanner(str(self.root), self._hashes, settle_s=0).scan()
        self.manifests.clear()

    def connect(self, peer: str = CLIENT, host: str = SERVER, port: int = FTP_PORT) -> Client:
        """Connect; the greeting is still to be read."""
        self._clients.append(Client(self, peer, host, port))
        return self._clients[-1]

    def connect_without_end(self) -> Client:
        """Connect, and never hang up, whatever the server says."""
        client = Client(self, CLIENT, SERVER, FTP_PORT, ends=False)
        self._clients.append(client)
        return client

    def log_in(self, peer: str = CLIENT, host: str = SERVER, port: int = FTP_PORT) -> Client:
        """Connect, and log in."""
        client = self.connect(peer, host, port)
        client.replies()
        assert client.code("USER anonymous") == 331
        assert client.code("PASS me@") == 230
        return client

    def wall_s(self) -> float:
        """The wall clock: so far ahead of the other; a test sets it by changing that."""
        return self.clock.seconds() + self.ahead_s

    def pass_time(self, seconds: float) -> None:
        """Let the clock tick, once a second."""
        self.clock.pump([1.0] * int(seconds))

    def close(self) -> None:
        for client in self._clients:
            client.transport.end()
        self.factory.doStop()
        self._hashes.close()


class CountingRealm(Realm):
    """Counts how often users log out."""

    def __init__(self, shell: ReadOnlyShell, site: Site) -> None:
        super().__init__(shell)
        self._site = site

    def requestAvatar(
        self, avatar_id: object, mind: object, *interfaces: type[Interface]
    ) -> "Deferred[tuple[type[Interface], ReadOnlyShell, Callable[[], Any]]]":
        def log_out() -> None:
            self._site.log_outs += 1

        avatar = super().requestAvatar(avatar_id, mind, *interfaces)
        return avatar.addCallback(lambda given: (given[0], given[1], log_out))


def connected(protocol: Protocol, host: str, port: int, peer_host: str) -> Transport:
    transport = Transport(protocol, address_of(host, port), address_of(peer_host, 50_001))
    protocol.makeConnection(transport)
    return transport


def address_of(host: str, port: int) -> IPv4Address | IPv6Address:
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, port)
