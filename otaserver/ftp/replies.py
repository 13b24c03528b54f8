"""Encoding replies for the control connection (RFC 959, section 4.2)."""

from collections.abc import Iterable


def reply(code: int, text: str) -> bytes:
    """Encode a single-line reply.

    Args:
        code: the reply code, three digits.
        text: the text, without line breaks.

    Returns:
        The reply in UTF-8, with its CR LF.
    """
    return f"{code} {text}\r\n".encode()


def long_reply(code: int, first: str, lines: Iterable[str], last: str) -> bytes:
    """Encode a multi-line reply.

    Args:
        code: the reply code, three digits.
        first: the text of the first line, which carries the code.
        lines: the lines in between.
        last: the text of the last line, which also carries the code.

    Returns:
        The reply in UTF-8, with CR LF after each line.
    """
    return enclosed(code, first, b"".join(map(inner_line, lines)), last)


def inner_line(line: str) -> bytes:
    """Encode a line inside a multi-line reply.

    Args:
        line: the line, without line breaks.

    Returns:
        The line, indented by one space, so that it can't be mistaken for the last one.
    """
    return f" {line}\r\n".encode()


def enclosed(code: int, first: str, inner: bytes, last: str) -> bytes:
    """Encode a multi-line reply whose inner lines are encoded already.

    Args:
        code: see `long_reply`.
        first: likewise.
        inner: the lines in between, as `inner_line` encodes them.
        last: see `long_reply`.

    Returns:
        The reply.
    """
    return b"%b%b%b" % (f"{code}-{first}\r\n".encode(), inner, reply(code, last))


def quoted_path(names: tuple[str, ...]) -> str:
    """Quote a directory's path for PWD, doubling any quotes in it (RFC 959, appendix II).

    Args:
        names: the names along the path from the root.

    Returns:
        The absolute path in double quotes.
    """
    path = "/" + "/".join(names)
    return '"{}"'.format(path.replace('"', '""'))
