"""Parsing a line into a command and its argument (RFC 959, section 5.3)."""

import re
from typing import NamedTuple

from otaserver.ftp.errors import Refused

# IAC and the bytes that belong to it (RFC 854). Option negotiation has one more
# byte. After the IAC of an urgent signal, the byte that identifies the signal may be
# missing, because some systems send it separately: then the IAC alone is removed.
_TELNET_CONTROL = re.compile(
    rb"\xff(?:\xff|[\xfb-\xfe].?|\xfa.*?(?:\xff\xf0|\Z)|[\xf0-\xf9])?", re.DOTALL
)
_VERB = re.compile(rb"[A-Za-z]{3,4}")


class CommandLine(NamedTuple):
    """A command and its argument.

    Attributes:
        verb: the command's name, in upper case.
        argument: what follows the first space; empty if there is nothing.
    """

    verb: str
    argument: bytes


def parse_command(line: bytes) -> CommandLine:
    """Parse a command.

    Args:
        line: the line, without its CR LF. Telnet control sequences in it are
            removed, and CR NUL is read as CR (RFC 854).

    Returns:
        The command and its argument.

    Raises:
        Refused: the line does not begin with a command name.
    """
    text = _TELNET_CONTROL.sub(_literal, line) if b"\xff" in line else line
    verb, _, argument = text.replace(b"\r\0", b"\r").partition(b" ")
    if not _VERB.fullmatch(verb):
        raise Refused(500, "That is not a command.")
    return CommandLine(verb.decode().upper(), argument)


def text_of(argument: bytes) -> str:
    """Decode an argument that is not a path.

    Args:
        argument: the argument as sent.

    Returns:
        The argument as text.

    Raises:
        Refused: it is not UTF-8, or contains an unprintable character.
    """
    try:
        text = argument.decode()
    except UnicodeDecodeError as error:
        raise Refused(501, "The argument is not UTF-8.") from error
    if not text.isprintable():
        raise Refused(501, "The argument contains an unprintable character.")
    return text


def _literal(control: "re.Match[bytes]") -> bytes:
    """Return what replaces a control sequence: a doubled IAC is a literal 0xFF byte."""
    return b"\xff" if control[0] == b"\xff\xff" else b""
