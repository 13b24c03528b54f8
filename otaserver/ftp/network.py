"""Opening data connections: listening for a client (passive mode) or connecting to it."""

import errno
import secrets
import socket
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from otaserver.ftp.addresses import Address
from otaserver.wire.addresses import canonical, is_ipv6

# Only one client is accepted, but a few strangers may have to be turned away first.
_BACKLOG = 5

# How many ports are tried before giving up.
_MAX_TRIES = 256


class OpenPort(Protocol):
    """A port that is listening for a client.

    Attributes:
        number: the TCP port.
    """

    number: int

    def close(self) -> None:
        """Stop listening."""


class Network(Protocol):
    """Opens data connections on behalf of the FTP server."""

    def listen(self, host: str, peer_host: str, protocol: Any) -> OpenPort:
        """Listen for one client.

        Args:
            host: the local address to listen at, usually the one that the client
                reached, with its zone if it has one.
            peer_host: the client's address in canonical form; connections from
                other addresses are closed.
            protocol: the protocol to connect to the client.

        Returns:
            The open port.

        Raises:
            OSError: no port can be opened.
        """

    def connect(
        self, address: Address, from_host: str, timeout_s: float, protocol: Any
    ) -> "Deferred[Any]":
        """Connect to a client that is listening.

        Args:
            address: where it is listening.
            from_host: the local address to connect from.
            timeout_s: when to give up, in seconds.
            protocol: the protocol to connect to the client.

        Returns:
            Fires once connected; fails if the connection fails or is cancelled.
        """


class ReactorNetwork:
    """A `Network` on top of Twisted's reactor.

    Twisted's own listening port would log two lines for each transfer, and accept
    any number of connections from any address.

    Args:
        reactor: the reactor.
        ports: the TCP ports that may be opened.
        choose: given a number, returns a random one from 0 up to, but excluding, it.
    """

    def __init__(
        self, reactor: Any, ports: range, choose: Callable[[int], int] = secrets.randbelow
    ) -> None:
        self._reactor = reactor
        self._ports = ports
        self._choose = choose

    def listen(self, host: str, peer_host: str, protocol: IProtocol) -> "PassivePort":
        """Listen for one client. See `Network.listen`."""
        listening = self._bound_socket(host)
        listening.listen(_BACKLOG)
        return PassivePort(self._reactor, listening, peer_host, protocol)

    def connect(
        self, address: Address, from_host: str, timeout_s: float, protocol: IProtocol
    ) -> "Deferred[Any]":
        """Connect to a client that is listening. See `Network.connect`."""
        kind = TCP6ClientEndpoint if is_ipv6(address.host) else TCP4ClientEndpoint
        endpoint: Any = kind(
            self._reactor, address.host, address.port, timeout_s, bindAddress=(from_host, 0)
        )
        connecting: Deferred[Any] = endpoint.connect(_OneProtocol(protocol))
        return connecting

    def _bound_socket(self, host: str) -> socket.socket:
        family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # A port whose last connection has just ended can be reused.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bind(bound, host)
        except OSError:
            bound.close()
            raise
        return bound

    def _bind(self, unbound: socket.socket, host: str) -> None:
        """Bind a free port, starting the search at an unpredictable one.

        The kernel could choose one as well, but that gets slower the more
        connections have recently ended.
        """
        count = len(self._ports)
        first = self._choose(count)
        last_try = min(count, _MAX_TRIES) - 1
        for step in range(last_try + 1):
            try:
                unbound.bind((host, self._ports[(first + step) % count]))
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE or step == last_try:
                    raise


@implementer(IReadDescriptor)
class PassivePort:
    """A listening port that accepts one connection from one address, then closes.

    Args:
        reactor: watches the listening socket.
        listening: the listening socket, which this object closes.
        peer_host: the address to accept a connection from, in canonical form.
        protocol: the protocol to connect to the client.

    Attributes:
        number: the TCP port.
    """

    __slots__ = ("_listening", "_peer_host", "_protocol", "_reactor", "number")

    def __init__(
        self, reactor: Any, listening: socket.socket, peer_host: str, protocol: IProtocol
    ) -> None:
        self.number: int = listening.getsockname()[1]
        self._reactor = reactor
        self._listening = listening
        self._peer_host = peer_host
        self._protocol: Any = protocol
        reactor.addReader(self)

    def fileno(self) -> int:
        """Return the descriptor to watch. See `IReadDescriptor`.

        Returns:
            The listening socket's file descriptor.
        """
        return self._listening.fileno()

    def logPrefix(self) -> str:
        """Name this port in the reactor's log messages. See `IReadDescriptor`.

        Returns:
            The name.
        """
        return "FTP data port"

    def doRead(self) -> None:
        """Accept a connection, and close it if it comes from the wrong address."""
        try:
            client, address = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Out of descriptors: the reactor would only call this again at once.
            self.close()
            return
        with client:
            if address[0] == self._peer_host or canonical(address[0]) == self._peer_host:
                self.close()
                client.setblocking(False)
                self._adopt(client)

    def _adopt(self, client: socket.socket) -> None:
        factory = _OneProtocol(self._protocol)
        try:
            self._reactor.adoptStreamConnection(client.fileno(), client.family, factory)
        except OSError:
            # The client has already disconnected.
            self._protocol.connectionLost(Failure(ConnectionLost()))

    def connectionLost(self, reason: Failure) -> None:
        """Close because the reactor is stopping. See `IReadDescriptor`.

        Args:
            reason: why; ignored.
        """
        self.close()

    def close(self) -> None:
        """Stop listening."""
        if self._listening.fileno() >= 0:
            self._reactor.removeReader(self)
            self._listening.close()


@implementer(IProtocolFactory)
class _OneProtocol:
    """A factory for a single connection.

    Args:
        protocol: the connection's protocol.
    """

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> IProtocol:
        """Return the protocol. See `IProtocolFactory`."""
        return self._protocol

    def doStart(self) -> None:
        """Do nothing: there is nothing to set up."""

    def doStop(self) -> None:
        """Do nothing: there is nothing to clean up."""
