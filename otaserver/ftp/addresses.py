"""Addresses of data connections (RFC 959, section 4.1.2; RFC 2428), and of the site itself."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from otaserver.ftp.errors import Refused

FTP_PORT = 21

# Below stand the ports of services, which no client listens on: RFC 2577, section 3.
FIRST_CLIENT_PORT = 1024

_HOST_PORT = re.compile(r"\d{1,3}(?:,\d{1,3}){5}", re.ASCII)
_EXTENDED = re.compile(
    r"(?P<mark>[!-~])(?P<family>\d*)(?P=mark)(?P<host>[0-9A-Fa-f.:]+)(?P=mark)(?P<port>\d{1,5})(?P=mark)",
    re.ASCII,
)
_FAMILIES = {"1": IPv4Address, "2": IPv6Address}


class Address(NamedTuple):
    """Where a client waits for a data connection.

    Attributes:
        host: an IPv4 or IPv6 address.
        port: a port.
    """

    host: str
    port: int


def canonical(host: str) -> str:
    """Write an address in the one way by which it can be compared.

    Args:
        host: an IPv4 or IPv6 address; one of IPv4 in the guise of IPv6 is told
            as IPv4, and a zone is left out. Anything else stays as it is.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_ipv6(host: str) -> bool:
    """Tell the family of an address in its canonical form."""
    return ":" in host


def url_authority(host: str, port: int) -> str:
    """Write the site's address as a URL does.

    Args:
        host: an address in its canonical form.
        port: left out where it is FTP's own.
    """
    shown = f"[{host}]" if is_ipv6(host) else host
    return shown if port == FTP_PORT else f"{shown}:{port}"


def parse_host_port(argument: str) -> Address:
    """Read PORT's argument.

    Args:
        argument: six numbers, ``h1,h2,h3,h4,p1,p2``.

    Raises:
        Refused: it is something else.
    """
    numbers = [int(part) for part in argument.split(",")] if _HOST_PORT.fullmatch(argument) else []
    if not numbers or max(numbers) > 255:
        raise Refused(501, "PORT takes six numbers up to 255, parted by commas.")
    return Address(".".join(map(str, numbers[:4])), numbers[4] << 8 | numbers[5])


def parse_extended(argument: str) -> Address:
    """Read EPRT's argument (RFC 2428, section 2).

    Args:
        argument: such as ``|2|1080::8:800:200C:417A|5282|``.

    Raises:
        Refused: it is something else.
    """
    match = _EXTENDED.fullmatch(argument)
    if match is None or int(match["port"]) > 65535:
        raise Refused(501, "EPRT takes |FAMILY|ADDRESS|PORT|.")
    family = _FAMILIES.get(match["family"])
    if family is None:
        raise Refused(522, "There are the network protocols 1 and 2 only; use (1,2).")
    try:
        return Address(str(family(match["host"])), int(match["port"]))
    except ValueError as error:
        raise Refused(501, "EPRT's address is not one of its family.") from error


def checked_target(address: Address, peer_host: str) -> Address:
    """Let a data connection go to nobody but the client itself (RFC 2577, section 3).

    Args:
        address: where the client says that it waits.
        peer_host: where its control connection comes from, in canonical form.

    Raises:
        Refused: it is somewhere else, or a port that no client waits on.
    """
    if canonical(address.host) != peer_host:
        raise Refused(504, "Data connections go to your own address only.")
    if address.port < FIRST_CLIENT_PORT:
        raise Refused(504, f"Data connections go to ports from {FIRST_CLIENT_PORT} up only.")
    return Address(peer_host, address.port)


def passive_text(host: str, port: int) -> str:
    """Write the text of PASV's reply.

    Args:
        host: an IPv4 address.
        port: the port that was opened.
    """
    numbers = ",".join((*host.split("."), str(port >> 8), str(port & 255)))
    return f"Entering passive mode ({numbers})."


def extended_passive_text(port: int) -> str:
    """Write the text of EPSV's reply (RFC 2428, section 3).

    Args:
        port: the port that was opened.
    """
    return f"Entering extended passive mode (|||{port}|)."
