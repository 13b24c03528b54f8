"""Answers as bytes: heads that are made once, and sentences about errors."""

from http import HTTPStatus
from typing import NamedTuple

from otaserver.catalogue.model import File
from otaserver.http.conditions import http_date

# The original client finds the end of a head only inside one read of this size.
LEGACY_READ_BYTES = 100

_LEGACY_PADDING = b"X-Padding: "


class Answer(NamedTuple):
    """An answer, without what differs from one request to the next.

    Attributes:
        status: the status code.
        fields: header lines, each with its CR LF, except for the length.
        length_line: the header line with the length of the body.
        body: what follows the head.
        etag: the entity tag of the body, with its quotes; empty if it has none.
        file: the file to send as the body, if the body is not in memory.
    """

    status: int
    fields: bytes
    length_line: bytes
    body: bytes = b""
    etag: str = ""
    file: File | None = None


def answer(
    status: int, fields: dict[str, str], body: bytes = b"", file: File | None = None
) -> Answer:
    """Put an answer together.

    Args:
        status: the status code.
        fields: header fields; the length of the body is added.
        body: what to send.
        file: a file to send instead.

    Returns:
        The answer.
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    length = _length_line(len(body) if file is None else file.size_bytes)
    return Answer(status, lines.encode("latin-1"), length, body, fields.get("ETag", ""), file)


def partial(known: Answer, offset: int, length: int, size_bytes: int) -> Answer:
    """Turn an answer with a whole file into one with a part of it (RFC 9110, section 15.3.7).

    Args:
        known: the answer with the whole.
        offset: where the part begins, in bytes.
        length: its length, in bytes.
        size_bytes: the length of the whole.

    Returns:
        The answer with the part.
    """
    content_range = f"Content-Range: bytes {offset}-{offset + length - 1}/{size_bytes}\r\n"
    fields = known.fields + content_range.encode()
    return known._replace(
        status=HTTPStatus.PARTIAL_CONTENT, fields=fields, length_line=_length_line(length)
    )


def not_modified(known: Answer) -> Answer:
    """Turn an answer into one for a client that has the body already.

    Args:
        known: the answer with the body.

    Returns:
        The answer without it (RFC 9110, section 15.4.5).
    """
    return Answer(HTTPStatus.NOT_MODIFIED, known.fields, b"", etag=known.etag)


def sentence(status: int, text: str, **fields: str) -> Answer:
    """Make an answer of one sentence.

    Args:
        status: the status code.
        text: the sentence.
        fields: further header fields, with ``_`` for ``-``.

    Returns:
        The answer.
    """
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return answer(
        status,
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **named,
        },
        f"{text}\n".encode(),
    )


def head(
    answer: Answer, version: bytes, date: bytes, is_persistent: bool, is_legacy: bool
) -> bytes:
    """Write everything that precedes a body.

    Args:
        answer: the answer.
        version: the request's version, such as ``HTTP/1.1``.
        date: the ``Date`` header line, with its CR LF.
        is_persistent: whether the connection stays open.
        is_legacy: whether to pad the head to a multiple of 100 bytes.

    Returns:
        The head, with the empty line at its end.
    """
    parts = [version, _STATUS_LINES[answer.status], _SERVER, date]
    if not is_persistent:
        parts.append(b"Connection: close\r\n")
    elif version == b"HTTP/1.0":
        parts.append(b"Connection: keep-alive\r\n")
    parts += (answer.fields, answer.length_line)
    if is_legacy:
        parts.append(_padding(sum(map(len, parts))))
    parts.append(b"\r\n")
    return b"".join(parts)


def last_answer(answer: Answer, date: bytes, is_legacy: bool) -> bytes:
    """Write an answer to something that is no request, after which the connection ends.

    Args:
        answer: the answer.
        date: see `head`.
        is_legacy: likewise.

    Returns:
        Its head and body.
    """
    return head(answer, b"HTTP/1.1", date, False, is_legacy) + answer.body


def date_line(seconds: int) -> bytes:
    """Format the ``Date`` header line.

    Args:
        seconds: since 1970.

    Returns:
        The line, with its CR LF.
    """
    return f"Date: {http_date(seconds)}\r\n".encode()


def _length_line(length: int) -> bytes:
    return b"Content-Length: %d\r\n" % length


def _padding(length: int) -> bytes:
    """Make a header line that pads a head of this length to a multiple of 100 bytes."""
    fixed = length + len(_LEGACY_PADDING) + len(b"\r\n\r\n")
    return _LEGACY_PADDING + b"." * (-fixed % LEGACY_READ_BYTES) + b"\r\n"


_SERVER = b"Server: otaserver\r\n"
_STATUS_LINES = {
    status.value: f" {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
