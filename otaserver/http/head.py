"""The head of a request: its first line and its header fields (RFC 9112, sections 2 to 6).

This is stricter than it would have to be. Whatever a proxy in front might read in
another way is refused: a bare line feed, a field that is continued on the next line, white
space before a colon, a body whose length is told twice. So both always agree on where a
request ends.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from otaserver.errors import OTAServerError
from otaserver.http.fields import Fields

MAX_TARGET_BYTES = 8_192
MAX_HEAD_BYTES = 16_384
MAX_FIELDS = 500
MAX_BODY_BYTES = 1 << 16

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%s) ([!-~]+) (HTTP/1\.[01])" % _TOKEN)
_FIELDS = re.compile(rb"(?:%s:[^\x00\r\n]*\r\n)*" % _TOKEN)
# The same as far as it has arrived.
_UNFINISHED_VERSION = rb"(?:H(?:T(?:T(?:P(?:/(?:1(?:\.[01]?)?)?)?)?)?)?)?"
_UNFINISHED_LINE = re.compile(rb"(?:%s(?: [!-~]*(?: %s)?)?)?\r?" % (_TOKEN, _UNFINISHED_VERSION))

_TEXT = re.compile(rb"[!-~\n]")

# How much of a wrong line an error quotes.
_SHOWN_BYTES = 60


class BadRequest(OTAServerError):
    """The request is malformed, or not HTTP.

    Args:
        sentence: what to tell the client.
    """

    def __init__(self, sentence: str = "The request is malformed, or not HTTP.") -> None:
        super().__init__(sentence)


class TargetTooLong(OTAServerError):
    """The target of a request is longer than this server accepts.

    Args:
        sentence: what to tell the client.
    """

    def __init__(
        self, sentence: str = f"The target of a request may have at most {MAX_TARGET_BYTES} bytes."
    ) -> None:
        super().__init__(sentence)


class HeadTooLarge(OTAServerError):
    """The head of a request is larger than this server accepts."""

    def __init__(self) -> None:
        super().__init__(
            f"The head of a request may have at most {MAX_HEAD_BYTES} bytes "
            f"and {MAX_FIELDS} header fields."
        )


class UnknownCoding(OTAServerError):
    """The body of a request has a transfer coding that this server does not know."""

    def __init__(self) -> None:
        super().__init__("The request has a Transfer-Encoding that is not supported here.")


class LengthRequired(OTAServerError):
    """The length of a request's body is not known in advance."""

    def __init__(self) -> None:
        super().__init__("A request with a body needs a Content-Length.")


class BodyTooLarge(OTAServerError):
    """The body of a request is larger than this server accepts."""

    def __init__(self) -> None:
        super().__init__(f"The body of a request may have at most {MAX_BODY_BYTES} bytes.")


class Head(NamedTuple):
    """The head of a request.

    Attributes:
        method: the method.
        target: the target, as the client sent it.
        version: the version of HTTP, such as ``HTTP/1.1``.
        fields: the header fields.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: Fields

    @property
    def body_bytes(self) -> int:
        """The length of the body (RFC 9112, section 6.3).

        Raises:
            OTAServerError: it is not known for sure, or too large.
        """
        codings = self.fields.items_of(b"Transfer-Encoding")
        lengths = self.fields.get(b"Content-Length")
        if codings and lengths:
            raise BadRequest("The request has a Content-Length and a Transfer-Encoding.")
        if codings == [b"chunked"]:
            raise LengthRequired
        if codings:
            # Also "identity", which RFC 9112 no longer has: it says nothing about the length.
            raise UnknownCoding
        return _length(lengths) if lengths else 0

    @property
    def keeps_connection(self) -> bool:
        """Whether another request may follow (RFC 9112, section 9.3)."""
        if b"Connection" not in self.fields:
            return self.version == b"HTTP/1.1"
        options = self.fields.items_of(b"Connection")
        if b"close" in options:
            return False
        return self.version == b"HTTP/1.1" or b"keep-alive" in options

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits to be told to send the body (RFC 9110, section 10.1.1)."""
        return (
            b"Expect" in self.fields
            and self.version == b"HTTP/1.1"
            and b"100-continue" in self.fields.items_of(b"Expect")
        )


def parse_head(raw: bytes) -> Head:
    """Parse the head of a request.

    Args:
        raw: its lines, each with its CR LF, without the empty line at the end.

    Returns:
        The head.

    Raises:
        OTAServerError: it is malformed or too large.
    """
    first, _, rest = raw.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise _what_is_wrong(raw)
    method, target, version = match.groups()
    if len(target) > MAX_TARGET_BYTES:
        raise TargetTooLong
    if len(raw) > MAX_HEAD_BYTES:
        raise HeadTooLarge
    if not _FIELDS.fullmatch(rest):
        raise _what_is_wrong_with_fields(rest)
    lines = rest.split(b"\r\n")
    if len(lines) > MAX_FIELDS + 1:
        raise HeadTooLarge
    fields = Fields()
    # What follows the last CR LF is empty.
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        fields.setdefault(name.title(), []).append(value.strip(b" \t"))
    return Head(method, target, version, fields)


def check_unfinished(raw: bytes) -> None:
    """Refuse the beginning of a head as soon as no end can make it right.

    Args:
        raw: what has arrived of it.

    Raises:
        OTAServerError: it is malformed or too large already.
    """
    first, line_end, _ = raw.partition(b"\r\n")
    shape = _REQUEST_LINE if line_end else _UNFINISHED_LINE
    if not shape.fullmatch(first) or _has_bare_line_feed(raw):
        raise _what_is_wrong(raw)
    if len(first) > MAX_TARGET_BYTES + len(b"OPTIONS  HTTP/1.1"):
        raise TargetTooLong if b" " in first else BadRequest
    if len(raw) > MAX_HEAD_BYTES:
        raise HeadTooLarge


def _what_is_wrong(raw: bytes) -> BadRequest:
    # Binary data has line feeds as well.
    if _has_bare_line_feed(raw) and _TEXT.match(raw):
        return BadRequest("The lines of a request end with CR LF, not with a bare line feed.")
    return BadRequest()


def _what_is_wrong_with_fields(lines: bytes) -> BadRequest:
    """Quote the first of these lines that is no field, unless its end is what is wrong."""
    if _has_bare_line_feed(lines):
        return _what_is_wrong(lines)
    good = _FIELDS.match(lines)
    assert good is not None
    line = lines[good.end() :].partition(b"\r\n")[0]
    shown = line if len(line) <= _SHOWN_BYTES else line[:_SHOWN_BYTES] + b"..."
    if line.startswith((b" ", b"\t")):
        return BadRequest(
            "Each header field of a request is on one line of its own, which doesn't begin with "
            f"white space: {shown.decode('latin-1')!a}."
        )
    return BadRequest(
        "The request has a line that is not a header field, a name, a colon and a value: "
        f"{shown.decode('latin-1')!a}."
    )


def _has_bare_line_feed(raw: bytes) -> bool:
    return raw.count(b"\n") != raw.count(b"\r\n")


def _length(values: Sequence[bytes]) -> int:
    if len(values) > 1 or not values[0].isdigit():
        raise BadRequest("The request has no valid Content-Length.")
    digits = values[0].lstrip(b"0") or b"0"
    # More digits than Python would parse are too large as well.
    if len(digits) > len(str(MAX_BODY_BYTES)) or int(digits) > MAX_BODY_BYTES:
        raise BodyTooLarge
    return int(digits)
