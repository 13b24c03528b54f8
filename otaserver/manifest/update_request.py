"""What a device says about itself when it asks for its manifest.

HTTP's query and what follows the ``?`` of an FTP path are the same text, and are
parsed here, once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from otaserver.catalogue.versions import Rank, rank
from otaserver.errors import OTAServerError

MAX_QUERY_BYTES = 2048
MAX_VALUE_LENGTH = 255

_KNOWN_FIELDS = {
    name.encode(): name for name in ("current_ver", "firmware_ver", "release", "device", "accept")
}
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTENT_ID = re.compile(r"[0-9a-f]{64}")
_PATCH_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)


class BadUpdateRequest(OTAServerError):
    """A device's request is malformed; the sentence is for whoever wrote its software."""


class QueryTooLong(BadUpdateRequest):
    """A device's request is longer than this server accepts."""

    def __init__(self) -> None:
        super().__init__(f"The query is longer than {MAX_QUERY_BYTES} bytes.")


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """What a device says when it asks for its manifest.

    Attributes:
        current_ver: the version of the files that it has; None if it has none.
        firmware_ver: the version of the firmware that it runs, if that is
            versioned apart from the files.
        release: the content id of the files that it has.
        device: what it calls itself.
        accept: the kinds of patch that it can take.
        rank, firmware_rank: the places of both versions among all versions; None if
            that is unknown. The firmware's is that of the files unless the device
            says otherwise.
    """

    current_ver: str | None = None
    firmware_ver: str | None = None
    release: str | None = None
    device: str | None = None
    accept: frozenset[str] = frozenset()
    rank: Rank | None = field(init=False, compare=False, repr=False)
    firmware_rank: Rank | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Here, so that one request that is parsed once and answered a thousand
        # times has its versions parsed once, too.
        own = _rank(self.current_ver)
        object.__setattr__(self, "rank", own)
        object.__setattr__(
            self, "firmware_rank", _rank(self.firmware_ver) if self.firmware_ver else own
        )


def _rank(version: str | None) -> Rank | None:
    return rank(version) if version is not None else None


def parse_update_request(query: bytes) -> UpdateRequest:
    """Parse a device's query.

    Percent-escapes are those of RFC 3986; a ``+`` is a plus, because versions
    such as ``1.0+local`` are sent as they are. A field without a value counts as absent.

    Args:
        query: ``name=value`` pairs separated by ``&``, without the ``?``. Fields
            with other names are ignored.

    Returns:
        What it says.

    Raises:
        QueryTooLong: it is too long.
        BadUpdateRequest: a known field in it is repeated,
            too long, not UTF-8, or malformed.
    """
    if len(query) > MAX_QUERY_BYTES:
        raise QueryTooLong
    known: dict[str, str] = {}
    for name, value in _known_fields(query):
        if name in known:
            raise BadUpdateRequest(f"The query field {name} is repeated.")
        known[name] = _checked(name, value)
    return UpdateRequest(
        current_ver=known.get("current_ver"),
        firmware_ver=known.get("firmware_ver"),
        release=_content_id(known.get("release")),
        device=known.get("device"),
        accept=_patch_names(known.get("accept")),
    )


def _known_fields(query: bytes) -> Iterator[tuple[str, bytes]]:
    for pair in query.split(b"&"):
        raw_name, _, value = pair.partition(b"=")
        name = _KNOWN_FIELDS.get(unquote_to_bytes(raw_name))
        if name is not None and value:
            yield name, value


def _checked(name: str, raw: bytes) -> str:
    if _BAD_ESCAPE.search(raw):
        raise BadUpdateRequest(
            f"The query field {name} has a % that is not followed by two hexadecimal digits."
        )
    try:
        value = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadUpdateRequest(f"The query field {name} is not UTF-8.") from error
    if len(value) > MAX_VALUE_LENGTH:
        raise BadUpdateRequest(
            f"The query field {name} is longer than {MAX_VALUE_LENGTH} characters."
        )
    if not value.isprintable():
        raise BadUpdateRequest(f"The query field {name} has an unprintable character.")
    return value


def _content_id(release: str | None) -> str | None:
    if release is not None and not _CONTENT_ID.fullmatch(release):
        raise BadUpdateRequest(
            "The query field release is not a content id: 64 lower-case hexadecimal digits."
        )
    return release


def _patch_names(accept: str | None) -> frozenset[str]:
    if accept is None:
        return frozenset()
    names = accept.split(",")
    if not all(map(_PATCH_NAME.fullmatch, names)):
        raise BadUpdateRequest(
            "The query field accept is not a comma-separated list of names "
            "made of lower-case letters, digits, dots, hyphens and underscores."
        )
    return frozenset(names)
