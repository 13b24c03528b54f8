"""What the log says once the server is listening: the addresses to open, and what to do next."""

import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Service
from twisted.internet import address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from zope.interface import implementer

_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21, "ftps": 990}

# Addresses that nobody has (RFC 5737, RFC 3849): the way there is the way out of the network.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_DISCARD_PORT = 9

# proc_pid_net(5): the interface, the destination and the gateway, in hexadecimal, and more.
_ROUTES = Path("/proc/self/net/route")
_NO_GATEWAY = "00000000"


class Listening(NamedTuple):
    """Where one protocol is served.

    Attributes:
        scheme: the scheme of its URLs.
        host: the IP address that the server listens on; `0.0.0.0` or `::` for all.
        port: the TCP port.
        takes_ipv4: whether `::` stands for all IPv4 addresses, too.
    """

    scheme: str
    host: str
    port: int
    takes_ipv4: bool = False


class OwnAddresses(NamedTuple):
    """The addresses by which other machines reach this one.

    Attributes:
        ipv4: the IPv4 address; None if there is none.
        ipv6: the IPv6 address; None if there is none.
    """

    ipv4: str | None
    ipv6: str | None


def own_addresses() -> OwnAddresses:
    """Find this machine's addresses, without sending anything.

    Returns:
        The addresses from which it would send to another network or, where no route
        leads there, as in a vehicle, to its own one.
    """
    outwards = _address_towards(socket.AF_INET, _ELSEWHERE[socket.AF_INET])
    inwards = (_address_towards(socket.AF_INET, host) for host in _neighbours(_routes()))
    return OwnAddresses(
        outwards or next(filter(None, inwards), None),
        _address_towards(socket.AF_INET6, _ELSEWHERE[socket.AF_INET6]),
    )


def _routes() -> str:
    """Read the kernel's table of routes for IPv4; empty where there is none to read."""
    with suppress(OSError):
        return _ROUTES.read_text(encoding="utf-8")
    return ""


def _neighbours(routes: str) -> Iterable[str]:
    """List an address in each network that the machine is in."""
    for line in routes.splitlines()[1:]:
        _, destination, gateway, *_ = line.split()
        if gateway == _NO_GATEWAY:
            # The number is in the byte order of the processor. What is asked for is the
            # first address, because that of the network itself may stand for all hosts in it.
            network = int.from_bytes(int(destination, 16).to_bytes(4, sys.byteorder), "big")
            yield str(IPv4Address(network | 1))


def _address_towards(family: socket.AddressFamily, elsewhere: str) -> str | None:
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        # For UDP, this sends nothing: it only chooses the route, and with it the address.
        probe.connect((elsewhere, _DISCARD_PORT))
        host: str = probe.getsockname()[0]
        return None if ip_address(host).is_loopback else host
    return None


def address_line(listening: Listening, own: OwnAddresses) -> str:
    """Say which URLs lead to a listening port.

    Args:
        listening: where the server is listening.
        own: the machine's addresses.

    Returns:
        The URLs, each with where it can be opened.
    """
    scheme, host, port, takes_ipv4 = listening
    if ip_address(host).is_loopback:
        return f"{_url(scheme, host, port)} (from this machine only)"
    if not ip_address(host).is_unspecified:
        return _url(scheme, host, port)
    is_ipv4 = takes_ipv4 or host == "0.0.0.0"
    here = _url(scheme, "127.0.0.1" if is_ipv4 else "::1", port) + " (from this machine)"
    reachable = (own.ipv4 if is_ipv4 else None) or (own.ipv6 if host == "::" else None)
    return f"{_url(scheme, reachable, port)} or {here}" if reachable else here


def next_step(root: str) -> str:
    """Say what to do once the server runs.

    Args:
        root: the release tree's folder.

    Returns:
        One sentence.
    """
    return f"To offer a new version, put its folder into {root}; the README explains how."


def _url(scheme: str, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return (
        f"{scheme}://{shown}/" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{shown}:{port}/"
    )


class Greeting(Service):
    """Logs the addresses to open, and what to do next, once all ports are open.

    It must be started after the services that it observes.

    Args:
        root: the release tree's folder.
        find_own: finds the machine's addresses.
    """

    log = Logger()

    def __init__(self, root: str, find_own: Callable[[], OwnAddresses] = own_addresses) -> None:
        self._root = root
        self._find_own = find_own
        self._observed: list[_ObservedEndpoint] = []

    def observe(self, scheme: str, endpoint: str, service: StreamServerEndpointService) -> None:
        """Note where a service listens, as soon as it does.

        Args:
            scheme: the scheme of its URLs, without TLS.
            endpoint: the description of its endpoint.
            service: the service, not yet started.
        """
        observed = _ObservedEndpoint(scheme, endpoint, service.endpoint, self._log_if_complete)
        self._observed.append(observed)
        service.endpoint = observed

    def startService(self) -> None:
        """Log the addresses, unless a port is not open yet: then they are logged when it is."""
        super().startService()
        self._log_if_complete()

    def _log_if_complete(self) -> None:
        if self.running and all(one.port is not None for one in self._observed):
            for line in self._lines():
                self.log.info("{line}", line=line)

    def _lines(self) -> Iterable[str]:
        own = self._find_own()
        for one in self._observed:
            yield f"Serving {one.where(own)}"
        yield next_step(self._root)


@implementer(IStreamServerEndpoint)
class _ObservedEndpoint:
    """An endpoint that knows which port it has opened, and tells when."""

    def __init__(
        self, scheme: str, description: str, endpoint: Any, opened: Callable[[], None]
    ) -> None:
        is_tls = description.removeprefix("haproxy:").startswith(("ssl:", "tls:"))
        self._scheme = f"{scheme}s" if is_tls else scheme
        self._description = description
        self._endpoint = endpoint
        self._opened = opened
        self.port: Any = None

    def listen(self, protocolFactory: Any) -> "Deferred[IListeningPort]":
        """Open the port. See `IStreamServerEndpoint.listen`."""
        listening: Deferred[IListeningPort] = self._endpoint.listen(protocolFactory)
        return listening.addCallback(self._note)

    def _note(self, port: IListeningPort) -> IListeningPort:
        self.port = port
        self._opened()
        return port

    def where(self, own: OwnAddresses) -> str:
        """Say how to reach the open port.

        Args:
            own: the machine's addresses.

        Returns:
            Its URLs or, for a Unix socket and the like, the endpoint's description.
        """
        host = self.port.getHost()
        if not isinstance(host, address.IPv4Address | address.IPv6Address):
            return f"{self._scheme} at {self._description}"
        listening = Listening(self._scheme, host.host, host.port, _takes_ipv4(self.port))
        return address_line(listening, own)


def _takes_ipv4(port: Any) -> bool:
    opened: socket.socket = port.socket
    return opened.family == socket.AF_INET6 and not opened.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
