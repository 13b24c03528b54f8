"""Parsing the request target and the Host header (RFC 9112, section 3)."""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from otaserver.catalogue.paths import TreePath, split_path
from otaserver.errors import OTAServerError

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(rb"%2[Ff]")
_ABSOLUTE_FORM = re.compile(rb"https?://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)
_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9.])?|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\])"
    r"(:(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)


class BadTarget(OTAServerError):
    """A malformed request line or Host header."""


class Target(NamedTuple):
    """A parsed request target.

    Attributes:
        path: the path in the release tree.
        query: what follows the ``?``; empty if there is nothing.
        authority: the host, if the target is an absolute URL; otherwise None.
    """

    path: TreePath
    query: bytes
    authority: bytes | None


def parse_target(raw: bytes) -> Target:
    """Parse a request target (RFC 9112, section 3.2).

    Args:
        raw: the target as sent, such as ``/1.0.1/flash/main.py``, or
            ``http://host/manifest.json?…``.

    Returns:
        The target.

    Raises:
        BadTarget: it is neither a path nor an absolute URL, or contains a malformed
            escape.
        otaserver.catalogue.paths.BadPath: the path in it is malformed.
    """
    authority = None
    absolute = _ABSOLUTE_FORM.fullmatch(raw)
    if absolute is not None:
        authority, raw = absolute["authority"], absolute["rest"]
        if not raw.startswith(b"/"):
            raw = b"/" + raw
    path, _, query = raw.partition(b"?")
    if not path.startswith(b"/"):
        raise BadTarget("The request is for something other than a path.")
    if _BAD_ESCAPE.search(path):
        raise BadTarget("The path has a % that is not followed by two hexadecimal digits.")
    if _ESCAPED_SLASH.search(path):
        raise BadTarget("The path contains an escaped slash.")
    return Target(split_path(unquote_to_bytes(path)), query, authority)


def checked_host(raw: bytes) -> str:
    """Validate a Host header, because it becomes part of URLs (RFC 9110, section 7.2).

    Args:
        raw: a host name or an IP address, with or without a port.

    Returns:
        The header as text, unchanged.

    Raises:
        BadTarget: the header is malformed.
    """
    match = _HOST.fullmatch(raw.decode("latin-1"))
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise BadTarget("The request does not name a valid host.")
    if match["v6"]:
        try:
            IPv6Address(match["v6"])
        except AddressValueError as error:
            raise BadTarget("The request does not name a valid IPv6 address.") from error
    return match[0]
