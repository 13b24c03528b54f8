"""Parsing the request target (RFC 9112, section 3.2)."""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from otaserver.catalogue.paths import MAX_PATH_BYTES, TreePath, split_path
from otaserver.errors import OTAServerError
from otaserver.http.head import TargetTooLong

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(rb"%2[Ff]")
_ABSOLUTE_FORM = re.compile(rb"https?://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)


class BadTarget(OTAServerError):
    """A malformed request target."""


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
        TargetTooLong: its path is too long.
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
    decoded = unquote_to_bytes(path)
    if len(decoded) > MAX_PATH_BYTES:
        raise TargetTooLong(f"The path is longer than {MAX_PATH_BYTES} bytes.")
    return Target(split_path(decoded), query, authority)
