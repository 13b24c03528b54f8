"""Reading the values of options: each wrong one is refused in one sentence.

The sentence names the option, the value, and what was expected.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from otaserver.catalogue.roots import BadRoots, parse_roots
from otaserver.http.base_url import BadHost, parse_host
from otaserver.startup import CannotStart, quoted

MAX_PORT = 65535

_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")

# The characters allowed in a path are those of RFC 3986, section 3.3.
_PUBLIC_URL = re.compile(
    r"https?://(?P<authority>[^/?#@]*)(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?", re.ASCII
)


def seconds(name: str, default: float, doc: str, least: float = 0) -> list[Any]:
    """Define an option whose value is a time.

    Args:
        name: the option, without dashes.
        default: its default, in seconds.
        doc: its line in the help.
        least: the lowest value that it may have, in seconds.

    Returns:
        A row of `twisted.python.usage.Options.optParameters`.
    """
    return _number(name, default, doc, float, "number of seconds", least)


def amount(name: str, default: float, doc: str) -> list[Any]:
    """Define an option whose value is a number of 0 or more. See `seconds`."""
    return _number(name, default, doc, float, "number", 0)


def count(name: str, default: int, doc: str, least: int = 0) -> list[Any]:
    """Define an option whose value is a whole number. See `seconds`."""
    return _number(name, default, doc, int, "whole number", least)


def size_bytes(name: str, default: int, doc: str, least: int = 0) -> list[Any]:
    """Define an option whose value is a size. See `seconds`."""
    return _number(name, default, doc, int, "whole number of bytes", least)


def _number(
    name: str, default: float, doc: str, kind: Callable[[str], float], what: str, least: float
) -> list[Any]:
    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = float("nan")
        # Neither infinity nor what is not a number is between the two.
        if not least <= number < float("inf"):
            raise CannotStart(f"--{name} {quoted(text)} is not a {what}, {least:g} or more")
        return number

    read.coerceDoc = f"Must be {least:g} or more."  # type: ignore[attr-defined]
    return [name, None, default, doc, read]


def folder_from(option: str, text: str) -> Path:
    """Read the path of a folder; twistd changes the working directory before it is used.

    Args:
        option: the option that it was given with.
        text: its value.

    Returns:
        The absolute path.

    Raises:
        CannotStart: the value is empty, as a variable in a script may be.
    """
    if not text:
        raise CannotStart(f"{option} '' is not a folder")
    return Path(text).absolute()


def public_url_from(text: str) -> str:
    """Read the value of ``--public-url``.

    Args:
        text: the value; may be empty.

    Returns:
        The URL, without a slash at its end.

    Raises:
        CannotStart: it is not an HTTP URL.
    """
    url = text.rstrip("/")
    match = _PUBLIC_URL.fullmatch(url)
    try:
        if url:
            parse_host(match["authority"].encode() if match else b"")
    except (BadHost, UnicodeError) as error:
        raise CannotStart(
            f"--public-url {quoted(text)} is not a URL such as http://ota.example.com"
        ) from error
    return url


def ports_from(text: str) -> range:
    """Read the value of ``--ftp-passive-ports``.

    Args:
        text: the value.

    Returns:
        The ports.

    Raises:
        CannotStart: it is not a range of ports.
    """
    match = _PORTS.fullmatch(text)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 0 < first <= last <= MAX_PORT:
        raise CannotStart(
            f"--ftp-passive-ports {quoted(text)} is not a range of ports such as 30000-30999"
        )
    return range(first, last + 1)


def roots_from(text: str) -> tuple[str, ...]:
    """Read the value of ``--roots``.

    Args:
        text: the value.

    Returns:
        The names of the roots.

    Raises:
        CannotStart: one is not a name, or there are two of them.
    """
    try:
        return parse_roots(text)
    except BadRoots as error:
        raise CannotStart(f"--roots {error}") from error


def check_public_address(text: str) -> None:
    """Check the value of ``--ftp-public-address``.

    Args:
        text: the value; may be empty.

    Raises:
        CannotStart: it is not an IP address.
    """
    try:
        if text:
            ip_address(text)
    except ValueError as error:
        raise CannotStart(
            f"--ftp-public-address {quoted(text)} is not an IP address such as 192.0.2.1"
        ) from error
