"""What the URLs in a client's manifest begin with, if the operator doesn't say.

It is what the client calls this server: the host of the request. MicroPython's own HTTP
client, among others, leaves the port out of ``Host``, so a missing port is the one that was
reached, unless a proxy is in between: then that port is the proxy's business, and a
missing one means what it should, the scheme's default (RFC 9110, section 7.2).
"""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from otaserver.errors import OTAServerError
from otaserver.wire.addresses import canonical, url_authority

_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9.])?|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\])"
    r"(:(?P<port>[0-9]{0,5}))?",
    re.ASCII,
)

# How much of a wrong host an error quotes.
_SHOWN_BYTES = 60

# Fields that proxies add: RFC 9110, section 7.6.3; RFC 7239; and those that came before it.
_PROXY_FIELDS = frozenset(
    (
        b"Via",
        b"Forwarded",
        b"X-Forwarded-For",
        b"X-Forwarded-Host",
        b"X-Forwarded-Proto",
        b"X-Real-Ip",
    )
)


class BadHost(OTAServerError):
    """A request doesn't say properly which host it is for."""


class Host(NamedTuple):
    """A host as a client names it.

    Attributes:
        name: a name, or an address; without brackets.
        port: a TCP port; None if it names none.
    """

    name: str
    port: int | None


class Reached(NamedTuple):
    """What a connection reached.

    Attributes:
        host: the server's address; empty if it has none, as over a Unix socket.
        port: the TCP port; None if it has none.
        is_secure: whether the connection is encrypted.
    """

    host: str
    port: int | None
    is_secure: bool


def parse_host(raw: bytes) -> Host:
    """Parse a Host header, which becomes part of URLs (RFC 9110, section 7.2).

    Args:
        raw: a host name or an IP address, with or without a port, which may be empty
            (RFC 3986, section 3.2.3).

    Returns:
        The host.

    Raises:
        BadHost: it is malformed.
    """
    text = raw.decode("latin-1")
    match = _HOST.fullmatch(text)
    if match is None:
        raise BadHost(
            f"The request is for the host {_quoted(text)}, which is neither a host name nor an "
            "IP address, with or without a port."
        )
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise BadHost(f"The request is for port {port}; ports are from 1 to 65535.")
    address = match["v6"]
    if address:
        try:
            IPv6Address(address)
        except AddressValueError as error:
            raise BadHost(
                f"The request is for the host {_quoted(text)}, which is not a valid IPv6 address."
            ) from error
    return Host(address or match["name"], port)


def is_from_proxy(fields: Iterable[bytes]) -> bool:
    """Tell whether a request has come by way of a proxy that says so.

    Args:
        fields: the names of the request's header fields, in canonical case.

    Returns:
        Whether one of them is a proxy's.
    """
    return not _PROXY_FIELDS.isdisjoint(fields)


def base_url(named: bytes | None, reached: Reached, is_from_proxy: bool) -> str:
    """Find out what URLs for a client begin with.

    Args:
        named: the host of the request; None if it names none.
        reached: where the request arrived.
        is_from_proxy: whether a proxy passed it on.

    Returns:
        A URL without a ``/`` at its end.

    Raises:
        BadHost: the host is malformed.
    """
    scheme, default_port = ("https", 443) if reached.is_secure else ("http", 80)
    if named is None:
        # Behind a proxy that speaks its protocol, the address is what that says: check it.
        host = canonical(reached.host or "localhost")
        named = url_authority(host, reached.port, default_port).encode()
    name, port = parse_host(named)
    if port is not None:
        return f"{scheme}://{url_authority(name, port)}"
    reached_port = None if is_from_proxy else reached.port
    return f"{scheme}://{url_authority(name, reached_port, default_port)}"


def _quoted(text: str) -> str:
    cut = text if len(text) <= _SHOWN_BYTES else f"{text[:_SHOWN_BYTES]}..."
    return ascii(cut)
