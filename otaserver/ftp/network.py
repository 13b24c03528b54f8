"""Opening data connections: ports that wait for one client, and connections to one."""

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

from otaserver.ftp.addresses import Address, canonical, is_ipv6

# One client may come; a stranger or two may be turned away before it.
_BACKLOG = 5

# How many ports are tried before a client is told that there is none.
_MAX_TRIES = 256


class OpenPort(Protocol):
    """A port that waits for a client.

    Attributes:
        number: the port.
    """

    number: int

    def close(self) -> None:
        """Wait no longer."""


class Network(Protocol):
    """Opens data connections for one site."""

    def listen(self, host: str, peer_host: str, protocol: Any) -> OpenPort:
        """Wait for one client.

        Args:
            host: the address to wait at, such as the one that the client
                reached, with its zone where it has one.
            peer_host: the client's own address in canonical form; all others
                are turned away.
            protocol: is connected to the client.

        Raises:
            OSError: no port can be had.
        """

    def connect(
        self, address: Address, from_host: str, timeout_s: float, protocol: Any
    ) -> "Deferred[Any]":
        """Connect to a client that waits.

        Args:
            address: where it waits.
            from_host: the address to come from.
            timeout_s: how long to try, in seconds.
            protocol: is connected to the client.

        Returns:
            Fires when that is done; fails when it can't be, or is cancelled.
        """


class ReactorNetwork:
    """The network as Twisted's reactor has it.

    A listening port of Twisted's own would write two lines to the log for each
    transfer, and take any number of connections from anybody.

    Args:
        reactor: the reactor.
        ports: the ports that may be opened.
        choose: picks a number from 0 up and below the one that it is given.
    """

    def __init__(
        self, reactor: Any, ports: range, choose: Callable[[int], int] = secrets.randbelow
    ) -> None:
        self._reactor = reactor
        self._ports = ports
        self._choose = choose

    def listen(self, host: str, peer_host: str, protocol: IProtocol) -> "PassivePort":
        """Wait for one client; see `Network.listen`."""
        listening = self._bound_socket(host)
        listening.listen(_BACKLOG)
        return PassivePort(self._reactor, listening, peer_host, protocol)

    def connect(
        self, address: Address, from_host: str, timeout_s: float, protocol: IProtocol
    ) -> "Deferred[Any]":
        """Connect to a client that waits; see `Network.connect`."""
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
            # Connections that ended a moment ago don't keep their port.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bind(bound, host)
        except OSError:
            bound.close()
            raise
        return bound

    def _bind(self, unbound: socket.socket, host: str) -> None:
        """Take a port, from one on that nobody can foresee.

        The system would find one as well, but takes the longer for it the more
        connections have ended of late.
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
    """A port that takes one connection, from one address, and closes.

    Args:
        reactor: tells when somebody has come.
        listening: the socket, which this object closes.
        peer_host: whom to take, in canonical form.
        protocol: is connected to it.

    Attributes:
        number: the port.
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
        """Tell the reactor what to watch."""
        return self._listening.fileno()

    def logPrefix(self) -> str:
        """Name this in messages of the reactor's."""
        return "FTP data port"

    def doRead(self) -> None:
        """Take who has come, if it is the one, and turn away who is not."""
        try:
            client, address = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Out of descriptors: to be called again and again would not help.
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
            # It has hung up already.
            self._protocol.connectionLost(Failure(ConnectionLost()))

    def connectionLost(self, reason: Failure) -> None:
        """Close, because the reactor stops."""
        self.close()

    def close(self) -> None:
        """Wait no longer."""
        if self._listening.fileno() >= 0:
            self._reactor.removeReader(self)
            self._listening.close()


@implementer(IProtocolFactory)
class _OneProtocol:
    """A factory for one connection.

    Args:
        protocol: what is connected.
    """

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> IProtocol:
        """Hand it out."""
        return self._protocol

    def doStart(self) -> None:
        """Nothing has to be prepared."""

    def doStop(self) -> None:
        """Nothing is left to be closed."""
