"""What a device says of itself when it asks for its manifest.

HTTP's query and what follows the ``?`` of an FTP path are the same text, and
are read here, once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from otaserver.errors import OTAServerError

MAX_QUERY_BYTES = 2048
MAX_VALUE_LENGTH = 255

_KNOWN_FIELDS = {
    name.encode(): name for name in ("current_ver", "firmware_ver", "device", "accept")
}
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PATCH_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)


class BadUpdateRequest(OTAServerError):
    """A device's question that can't be answered, in a sentence for who wrote it."""


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """A device's question.

    Attributes:
        current_ver: the version of the files that it has; None for a device
            that has none.
        firmware_ver: the version of the firmware that it runs, where that is
            told apart from the files'.
        device: what it calls itself.
        accept: the kinds of patch that it can take.
    """

    current_ver: str | None = None
    firmware_ver: str | None = None
    device: str | None = None
    accept: frozenset[str] = frozenset()


def parse_update_request(query: bytes) -> UpdateRequest:
    """Read a device's question.

    Percent-escapes are those of RFC 3986; a ``+`` is a plus, because versions
    such as ``1.0+local`` are sent as they are.

    Args:
        query: ``name=value`` pairs parted by ``&``, without the ``?``. Fields of
            other names are ignored.

    Raises:
        BadUpdateRequest: it is too long, not UTF-8, or a known field in it is
            repeated, empty, too long, or not what it should be.
    """
    if len(query) > MAX_QUERY_BYTES:
        raise BadUpdateRequest(f"The query is longer than {MAX_QUERY_BYTES} bytes.")
    known: dict[str, str] = {}
    for name, value in _known_fields(query):
        if name in known:
            raise BadUpdateRequest(f"The query field {name} is repeated.")
        known[name] = _checked(name, value)
    return UpdateRequest(
        current_ver=known.get("current_ver"),
        firmware_ver=known.get("firmware_ver"),
        device=known.get("device"),
        accept=_patch_names(known.get("accept")),
    )


def _known_fields(query: bytes) -> Iterator[tuple[str, bytes]]:
    for pair in query.split(b"&"):
        raw_name, _, value = pair.partition(b"=")
        name = _KNOWN_FIELDS.get(unquote_to_bytes(raw_name))
        if name is not None:
            yield name, value


def _checked(name: str, raw: bytes) -> str:
    if _BAD_ESCAPE.search(raw):
        raise BadUpdateRequest(
            f"The query field {name} has a % that two hexadecimal digits don't follow."
        )
    try:
        value = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadUpdateRequest(f"The query field {name} is not UTF-8.") from error
    if not value:
        raise BadUpdateRequest(f"The query field {name} is empty.")
    if len(value) > MAX_VALUE_LENGTH:
        raise BadUpdateRequest(
            f"The query field {name} is longer than {MAX_VALUE_LENGTH} characters."
        )
    if not value.isprintable():
        raise BadUpdateRequest(f"The query field {name} has a character that can't be shown.")
    return value


def _patch_names(accept: str | None) -> frozenset[str]:
    if accept is None:
        return frozenset()
    names = accept.split(",")
    if not all(map(_PATCH_NAME.fullmatch, names)):
        raise BadUpdateRequest(
            "The query field accept is not a list of names, parted by commas, "
            "of small letters, digits, dots, dashes and underscores."
        )
    return frozenset(names)
