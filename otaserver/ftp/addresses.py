"""Addresses of data connections (RFC 959, section 4.1.2; RFC 2428)."""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from otaserver.ftp.errors import Refused
from otaserver.wire.addresses import canonical

FTP_PORT = 21

# Ports below this belong to services; no client listens on them: RFC 2577, section 3.
FIRST_CLIENT_PORT = 1024

_HOST_PORT = re.compile(r"\d{1,3}(?:,\d{1,3}){5}", re.ASCII)
_EXTENDED = re.compile(
    r"(?P<mark>[!-~])(?P<family>\d*)(?P=mark)(?P<host>[0-9A-Fa-f.:]+)(?P=mark)(?P<port>\d{1,5})(?P=mark)",
    re.ASCII,
)
_FAMILIES = {"1": IPv4Address, "2": IPv6Address}


class Address(NamedTuple):
    """Where a client is listening for a data connection.

    Attributes:
        host: an IPv4 or IPv6 address.
        port: a TCP port.
    """

    host: str
    port: int


def parse_host_port(argument: str) -> Address:
    """Parse PORT's argument (RFC 959, section 4.1.2).

    Args:
        argument: six numbers, ``h1,h2,h3,h4,p1,p2``.

    Returns:
        The address.

    Raises:
        Refused: the argument is malformed.
    """
    numbers = [int(part) for part in argument.split(",")] if _HOST_PORT.fullmatch(argument) else []
    if not numbers or max(numbers) > 255:
        raise Refused(501, "PORT takes six numbers up to 255, separated by commas.")
    return Address(".".join(map(str, numbers[:4])), numbers[4] << 8 | numbers[5])


def parse_extended(argument: str) -> Address:
    """Parse EPRT's argument (RFC 2428, section 2).

    Args:
        argument: such as ``|2|1080::8:800:200C:417A|5282|``.

    Returns:
        The address.

    Raises:
        Refused: the argument is malformed, or its network protocol is unknown.
    """
    match = _EXTENDED.fullmatch(argument)
    if match is None or int(match["port"]) > 65535:
        raise Refused(501, "EPRT takes |FAMILY|ADDRESS|PORT|.")
    family = _FAMILIES.get(match["family"])
    if family is None:
        raise Refused(522, "Only the network protocols 1 and 2 are supported; use (1,2).")
    try:
        return Address(str(family(match["host"])), int(match["port"]))
    except ValueError as error:
        raise Refused(501, "The address does not match the network protocol.") from error


def checked_target(address: Address, peer_host: str) -> Address:
    """Make sure that a data connection goes to the client itself (RFC 2577, section 3).

    Args:
        address: where the client says that it is listening.
        peer_host: the client's address on the control connection, in canonical form.

    Returns:
        The same address, in canonical form.

    Raises:
        Refused: it is another host's address, or a port reserved for services.
    """
    if canonical(address.host) != peer_host:
        raise Refused(504, "Data connections are made only to your own address.")
    if address.port < FIRST_CLIENT_PORT:
        raise Refused(504, f"Data connections are made only to ports from {FIRST_CLIENT_PORT} up.")
    return Address(peer_host, address.port)


def passive_text(host: str, port: int) -> str:
    """Format the text of PASV's reply (RFC 959, section 4.1.2).

    Args:
        host: the IPv4 address to connect to.
        port: the TCP port that was opened.

    Returns:
        The text, with the address as six numbers.
    """
    numbers = ",".join((*host.split("."), str(port >> 8), str(port & 255)))
    return f"Entering passive mode ({numbers})."


def extended_passive_text(port: int) -> str:
    """Format the text of EPSV's reply (RFC 2428, section 3).

    Args:
        port: the TCP port that was opened.

    Returns:
        The text, with the port.
    """
    return f"Entering extended passive mode (|||{port}|)."
