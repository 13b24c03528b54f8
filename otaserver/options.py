"""The command line of ``twistd otaserver``, and the checks made before anything starts."""

import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.python import usage

from otaserver.catalogue.release_rules import DEFAULT_ROOTS
from otaserver.catalogue.roots import BadRoots, parse_roots
from otaserver.http.target import BadTarget, checked_host
from otaserver.startup import CannotStart, check_log_file, check_root, check_state

# The characters allowed in a path are those of RFC 3986, section 3.3.
_PUBLIC_URL = re.compile(
    r"https?://(?P<authority>[^/?#@]*)(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?", re.ASCII
)


def _number(
    name: str, default: float, meaning: str, least: float = 0, kind: Callable[[str], Any] = float
) -> list[Any]:
    """Write the row of an option whose value is a number."""
    expected = f"{'a whole number' if kind is int else 'a number'}, {least} or more"

    def checked(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not least <= number < float("inf"):
            raise CannotStart(f"--{name} {text!r} is not {expected}")
        return number

    checked.coerceDoc = f"Must be {least} or more."  # type: ignore[attr-defined]
    return [name, None, default, meaning, checked]


class Options(usage.Options):
    """The options of ``twistd otaserver``."""

    synopsis = "[options]"
    longdesc = (
        "Updates MicroPython devices over the air. Serves a folder of releases: the files, and "
        "manifests that tell each device how to get from its version to the newest one. "
        "By default, serves ./releases over HTTP on port 8000 and over FTP on port 2121. "
        "Times are in seconds, sizes in bytes."
    )
    optParameters = [
        ["root", "r", "releases", "The folder to serve: the release tree."],
        ["http", None, "tcp:8000", "The endpoint for HTTP; '' to disable HTTP."],
        ["ftp", None, "tcp:2121", "The endpoint for FTP; '' to disable FTP."],
        [
            "public-url",
            None,
            "",
            "The start of URLs in manifests, instead of the request's host.",
        ],
        _number(
            "settle", 2.0, "How long a release must have been left unchanged before it is offered."
        ),
        [
            "roots",
            None,
            ",".join(DEFAULT_ROOTS),
            "The folders of a device that releases may have files in, separated by commas.",
        ],
        _number("poll", 2.0, "The time between two scans of the tree.", 0.1),
        ["state", None, ".otaserver", "The folder for hashes, which are kept across restarts."],
        ["access-log", None, "", "A file for the access log, instead of Twisted's log."],
        _number("cache-size", 32 << 20, "The maximum size of the cache of responses.", 0, int),
        _number(
            "max-connections", 2000, "The maximum number of connections; 0 for no limit.", 0, int
        ),
        _number(
            "max-per-address",
            200,
            "The maximum number of connections from one address; 0 for no limit.",
            0,
            int,
        ),
        _number("request-timeout", 30.0, "How long a client may take to send a request.", 1),
        _number("idle-timeout", 60.0, "How long a connection may be idle between requests.", 1),
        _number("stall-timeout", 60.0, "How long a client may stay below the minimum rate.", 1),
        _number("min-rate", 100.0, "The minimum rate, in bytes per second; 0 for none."),
        [
            "ftp-public-address",
            None,
            "",
            "The address that FTP clients are told to connect to, for a server behind NAT.",
        ],
        [
            "ftp-passive-ports",
            None,
            "49152-65535",
            "The range of ports for passive mode.",
        ],
        _number(
            "ftp-max-connections",
            2000,
            "The maximum number of FTP connections; 0 for no limit.",
            0,
            int,
        ),
        _number(
            "ftp-max-per-address",
            200,
            "The maximum number of FTP connections from one address; 0 for no limit.",
            0,
            int,
        ),
        _number("ftp-max-command", 8192, "The maximum length of an FTP command.", 64, int),
        _number("ftp-login-attempts", 3, "How many times a connection may try to log in.", 1, int),
        _number("ftp-login-delay", 1.0, "The delay before a failed log-in is answered.", 1),
        _number("ftp-login-timeout", 60.0, "How long a client may take to log in.", 1),
        _number("ftp-idle-timeout", 300.0, "How long a session may be idle between commands.", 1),
        _number("ftp-data-timeout", 30.0, "How long opening a data connection may take.", 1),
    ]
    optFlags = [
        ["legacy", None, "Serve the original client: absolute paths, and padded headers."],
        ["no-access-log", None, "Write no access log."],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse a command line.

        Args:
            options: the command line, without the program's name; None for that of the
                process.

        Raises:
            CannotStart: an option is unknown, its value is missing or invalid, or there
                is nothing to serve.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # Twisted would print all of the help, and the error after it.
            why = str(error).removesuffix(".")
            raise CannotStart(f"{why}; see twistd otaserver --help") from error

    def opt_version(self) -> None:
        """Display the versions of otaserver and Twisted, and exit."""
        print(f"otaserver {version('otaserver')}, Twisted {version('twisted')}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Validate the options, and turn their values into the types that the server needs.

        Raises:
            CannotStart: the release tree can't be read, an option's value is
                invalid, or there is nothing to serve.
        """
        self["root"] = str(Path(self["root"]).absolute())
        self["state"] = Path(self["state"]).absolute()
        if self["access-log"]:
            # twistd changes the working directory before the file is opened.
            self["access-log"] = str(Path(self["access-log"]).absolute())
        self["public-url"] = self["public-url"].rstrip("/")
        check_root(Path(self["root"]))
        check_state(self["state"], Path(self["root"]))
        if self["access-log"]:
            check_log_file(Path(self["access-log"]))
        _check_public_url(self["public-url"])
        _check_public_address(self["ftp-public-address"])
        self["ftp-passive-ports"] = _ports(self["ftp-passive-ports"])
        self["roots"] = _roots(self["roots"])
        if not self["http"] and not self["ftp"]:
            raise CannotStart("there is nothing to serve: --http and --ftp are both empty")


def _check_public_url(url: str) -> None:
    match = _PUBLIC_URL.fullmatch(url)
    try:
        if url:
            checked_host(match["authority"].encode() if match else b"")
    except BadTarget as error:
        raise CannotStart(
            f"--public-url {url!r} is not a URL such as http://ota.example.com"
        ) from error


def _ports(text: str) -> range:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65536):
        raise CannotStart(f"--ftp-passive-ports {text!r} is not a range such as 30000-30999")
    return range(int(first), int(last) + 1)


def _roots(text: str) -> tuple[str, ...]:
    try:
        return parse_roots(text)
    except BadRoots as error:
        raise CannotStart(f"--roots {error}") from error


def _check_public_address(address: str) -> None:
    try:
        if address:
            ip_address(address)
    except ValueError as error:
        raise CannotStart(f"--ftp-public-address {address!r} is not an IP address") from error
