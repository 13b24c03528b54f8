"""From the bytes of a line to a command and its argument (RFC 959, section 5.3)."""

import re
from typing import NamedTuple

from otaserver.ftp.errors import Refused

# IAC with what belongs to it (RFC 854). An option's negotiation takes one byte
# more. After the IAC of an urgent signal the byte that says which may be
# missing, as some clients' systems send it apart: then the IAC goes alone.
_TELNET_CONTROL = re.compile(
    rb"\xff(?:\xff|[\xfb-\xfe].?|\xfa.*?(?:\xff\xf0|\Z)|[\xf0-\xf9])?", re.DOTALL
)
_VERB = re.compile(rb"[A-Za-z]{3,4}")


class CommandLine(NamedTuple):
    """One command.

    Attributes:
        verb: what to do, in capitals.
        argument: what follows the blank; empty where there is none.
    """

    verb: str
    argument: bytes


def parse_command(line: bytes) -> CommandLine:
    """Read a command.

    Args:
        line: the line, without its CR LF. Telnet's controls in it are dropped,
            and CR NUL is a CR (RFC 854).

    Raises:
        Refused: it is no command.
    """
    text = _TELNET_CONTROL.sub(_literal, line) if b"\xff" in line else line
    verb, _, argument = text.replace(b"\r\0", b"\r").partition(b" ")
    if not _VERB.fullmatch(verb):
        raise Refused(500, "That is no command.")
    return CommandLine(verb.decode().upper(), argument)


def text_of(argument: bytes) -> str:
    """Make text of an argument that is no path.

    Raises:
        Refused: it is not UTF-8, or has a character that can't be shown.
    """
    try:
        text = argument.decode()
    except UnicodeDecodeError as error:
        raise Refused(501, "The argument is not UTF-8.") from error
    if not text.isprintable():
        raise Refused(501, "The argument has a character that can't be shown.")
    return text


def _literal(control: "re.Match[bytes]") -> bytes:
    """A doubled IAC stands for the byte itself."""
    return b"\xff" if control[0] == b"\xff\xff" else b""
