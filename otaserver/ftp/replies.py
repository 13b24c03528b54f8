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
        lines: the lines in between. Each is indented by one space, so that none
            can be mistaken for the last line.
        last: the text of the last line, which also carries the code.

    Returns:
        The reply in UTF-8, with CR LF after each line.
    """
    inner = "".join(f" {line}\r\n" for line in lines)
    return f"{code}-{first}\r\n{inner}{code} {last}\r\n".encode()


def quoted_path(names: tuple[str, ...]) -> str:
    """Quote a directory's path for PWD, doubling any quotes in it (RFC 959, appendix II).

    Args:
        names: the names along the path from the root.

    Returns:
        The absolute path in double quotes.
    """
    path = "/" + "/".join(names)
    return '"{}"'.format(path.replace('"', '""'))
