"""Replies as they go over the wire (RFC 959, section 4.2)."""

from collections.abc import Iterable


def reply(code: int, text: str) -> bytes:
    """Write a reply of one line.

    Args:
        code: its code.
        text: its text, without line ends.
    """
    return f"{code} {text}\r\n".encode()


def long_reply(code: int, first: str, lines: Iterable[str], last: str) -> bytes:
    """Write a reply of several lines.

    Args:
        code: its code.
        first, last: the texts of the lines that carry the code.
        lines: what stands between them. Each gets a blank in front, so that none
            can be taken for the last one.
    """
    inner = "".join(f" {line}\r\n" for line in lines)
    return f"{code}-{first}\r\n{inner}{code} {last}\r\n".encode()


def quoted_path(names: tuple[str, ...]) -> str:
    """Write a folder as PWD does, with quotes in it doubled (RFC 959, appendix II).

    Args:
        names: the names on the way from the root.
    """
    path = "/" + "/".join(names)
    return '"{}"'.format(path.replace('"', '""'))
