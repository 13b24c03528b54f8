"""What a request line and a Host header ask for (RFC 9112, section 3)."""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from otaserver.errors import OTAServerError
from otaserver.paths import split_path

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(rb"%2[Ff]")
_ABSOLUTE_FORM = re.compile(rb"https?://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)
_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9.])?|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\])"
    r"(:(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)


class BadTarget(OTAServerError):
    """A request line, or a Host header, that asks for nothing."""


class Target(NamedTuple):
    """What is asked for.

    Attributes:
        names: the names on the way to it, from the root.
        is_folder: whether the path ends with ``/``.
        query: what follows the ``?``.
        authority: the host, where the request line itself names one.
    """

    names: tuple[str, ...]
    is_folder: bool
    query: bytes
    authority: bytes | None


def parse_target(raw: bytes) -> Target:
    """Read a request's target.

    Args:
        raw: such as ``/1.0.1/flash/main.py``, or ``http://host/manifest.json?…``.

    Raises:
        BadTarget: it is neither a path nor an absolute URL, or has a bad escape.
        otaserver.paths.BadPath: the path in it can't be one in a tree.
    """
    authority = None
    absolute = _ABSOLUTE_FORM.fullmatch(raw)
    if absolute is not None:
        authority, raw = absolute["authority"], absolute["rest"]
        if not raw.startswith(b"/"):
            raw = b"/" + raw
    path, _, query = raw.partition(b"?")
    if not path.startswith(b"/"):
        raise BadTarget("The request is for something that is not a path.")
    if _BAD_ESCAPE.search(path):
        raise BadTarget("The path has a % that two hexadecimal digits don't follow.")
    if _ESCAPED_SLASH.search(path):
        raise BadTarget("The path has an escaped slash in it.")
    return Target(split_path(unquote_to_bytes(path)), path.endswith(b"/"), query, authority)


def checked_host(raw: bytes) -> str:
    """Read a Host header, which becomes a part of URLs.

    Args:
        raw: a name or an address, with or without a port.

    Raises:
        BadTarget: it is none.
    """
    match = _HOST.fullmatch(raw.decode("latin-1"))
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise BadTarget("The request names no host.")
    if match["v6"]:
        try:
            IPv6Address(match["v6"])
        except AddressValueError as error:
            raise BadTarget("The request names no IPv6 address.") from error
    return match[0]
