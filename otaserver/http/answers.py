"""Answers as bytes: heads that are made once, and sentences for what goes wrong."""

from dataclasses import dataclass, replace
from http import HTTPStatus

from otaserver.catalogue.model import File
from otaserver.http.conditions import http_date

# The original client finds the end of a head only inside one read of this size.
LEGACY_READ_BYTES = 100

_LEGACY_PADDING = b"X-Padding: "


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer without what differs from one time to the next.

    Attributes:
        status: the status code.
        fields: header lines, each with its CR LF, beside the length's.
        length_line: the header line that tells the length of the body.
        body: what follows the head.
        etag: the entity tag of the body, with its quotes; empty where it has none.
        file: the file that the body is, where it is sent apart.
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
        file: what to send instead.
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    length = _length_line(len(body) if file is None else file.size_bytes)
    return Answer(status, lines.encode("latin-1"), length, body, fields.get("ETag", ""), file)


def partial(known: Answer, offset: int, length: int, size_bytes: int) -> Answer:
    """Send a part of what would be sent as a whole.

    Args:
        known: the answer with the whole.
        offset, length: which part, in bytes.
        size_bytes: the length of the whole.
    """
    content_range = f"Content-Range: bytes {offset}-{offset + length - 1}/{size_bytes}\r\n"
    fields = known.fields + content_range.encode()
    return replace(
        known, status=HTTPStatus.PARTIAL_CONTENT, fields=fields, length_line=_length_line(length)
    )


def not_modified(known: Answer) -> Answer:
    """Tell a client that it has the body already."""
    return Answer(HTTPStatus.NOT_MODIFIED, known.fields, b"", etag=known.etag)


def sentence(status: int, text: str, **fields: str) -> Answer:
    """Say in one sentence what is wrong.

    Args:
        status: the status code.
        text: the sentence.
        fields: further header fields, with ``_`` for ``-``.
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
    """Write everything that comes before a body.

    Args:
        answer: the answer.
        version: the request's version, such as ``HTTP/1.1``.
        date: the line that tells the time, with its CR LF.
        is_persistent: whether the connection stays open.
        is_legacy: whether to fill the head up to a multiple of 100 bytes.
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


def date_line(seconds: int) -> bytes:
    """Write the header line that tells the time.

    Args:
        seconds: since 1970.
    """
    return f"Date: {http_date(seconds)}\r\n".encode()


def _length_line(length: int) -> bytes:
    return b"Content-Length: %d\r\n" % length


def _padding(length: int) -> bytes:
    """A header line that makes so many bytes, and the empty line, a multiple of 100."""
    fixed = length + len(_LEGACY_PADDING) + len(b"\r\n\r\n")
    return _LEGACY_PADDING + b"." * (-fixed % LEGACY_READ_BYTES) + b"\r\n"


_SERVER = b"Server: otaserver\r\n"
_STATUS_LINES = {
    status.value: f" {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
