"""The command line of ``twistd otaserver``, and the checks made before anything starts."""

import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.python import usage

from otaserver.catalogue.release_rules import DEFAULT_ROOTS, is_root_name
from otaserver.http.target import BadTarget, checked_host
from otaserver.startup import CannotStart, check_root

# The characters allowed in a path are those of RFC 3986, section 3.3.
_PUBLIC_URL = re.compile(
    r"https?://(?P<authority>[^/?#@]*)(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?", re.ASCII
)


def _at_least(least: float, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        number = kind(text)
        if not least <= number < float("inf"):
            raise ValueError(f"it must be {least} or more")
        return number

    checked.coerceDoc = f"Must be {least} or more."  # type: ignore[attr-defined]
    return checked


_TIMEOUT = _at_least(1, float)
_NUMBER = _at_least(0, float)
_COUNT = _at_least(0, int)


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
        [
            "settle",
            None,
            2.0,
            "How long a release must have been left unchanged before it is offered.",
            _NUMBER,
        ],
        [
            "roots",
            None,
            ",".join(DEFAULT_ROOTS),
            "The folders of a device that releases may have files in, separated by commas.",
        ],
        ["poll", None, 2.0, "The time between two scans of the tree.", _at_least(0.1, float)],
        ["state", None, ".otaserver", "The folder for hashes, which are kept across restarts."],
        ["access-log", None, "", "A file for the access log, instead of Twisted's log."],
        ["cache-size", None, 32 << 20, "The maximum size of the cache of responses.", _COUNT],
        [
            "max-connections",
            None,
            2000,
            "The maximum number of connections; 0 for no limit.",
            _COUNT,
        ],
        [
            "max-per-address",
            None,
            200,
            "The maximum number of connections from one address; 0 for no limit.",
            _COUNT,
        ],
        ["request-timeout", None, 30.0, "How long a client may take to send a request.", _TIMEOUT],
        [
            "idle-timeout",
            None,
            60.0,
            "How long a connection may be idle between requests.",
            _TIMEOUT,
        ],
        [
            "stall-timeout",
            None,
            60.0,
            "How long a client may stay below the minimum rate.",
            _TIMEOUT,
        ],
        ["min-rate", None, 100.0, "The minimum rate, in bytes per second; 0 for none.", _NUMBER],
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
        [
            "ftp-max-connections",
            None,
            2000,
            "The maximum number of FTP connections; 0 for no limit.",
            _COUNT,
        ],
        [
            "ftp-max-per-address",
            None,
            200,
            "The maximum number of FTP connections from one address; 0 for no limit.",
            _COUNT,
        ],
        [
            "ftp-max-command",
            None,
            8192,
            "The maximum length of an FTP command.",
            _at_least(64, int),
        ],
        [
            "ftp-login-attempts",
            None,
            3,
            "How many times a connection may try to log in.",
            _at_least(1, int),
        ],
        ["ftp-login-delay", None, 1.0, "The delay before a failed log-in is answered.", _TIMEOUT],
        ["ftp-login-timeout", None, 60.0, "How long a client may take to log in.", _TIMEOUT],
        [
            "ftp-idle-timeout",
            None,
            300.0,
            "How long a session may be idle between commands.",
            _TIMEOUT,
        ],
        ["ftp-data-timeout", None, 30.0, "How long opening a data connection may take.", _TIMEOUT],
    ]
    optFlags = [
        ["legacy", None, "Serve the original client: absolute paths, and padded headers."],
        ["no-access-log", None, "Write no access log."],
    ]

    def opt_version(self) -> None:
        """Display the versions of otaserver and Twisted, and exit."""
        print(f"otaserver {version('otaserver')}, Twisted {version('twisted')}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Validate the options, and turn their values into the types that the server needs.

        Raises:
            CannotStart: the release tree can't be read, an option's value is
                invalid, or there is nothing to serve.
            UsageError: the range of ports is malformed.
        """
        self["root"] = str(Path(self["root"]).absolute())
        self["state"] = Path(self["state"]).absolute()
        if self["access-log"]:
            # twistd changes the working directory before the file is opened.
            self["access-log"] = str(Path(self["access-log"]).absolute())
        self["public-url"] = self["public-url"].rstrip("/")
        check_root(Path(self["root"]))
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
        raise usage.UsageError(f"--ftp-passive-ports {text!r} is not a range such as 30000-30999")
    return range(int(first), int(last) + 1)


def _roots(text: str) -> tuple[str, ...]:
    roots = tuple(text.split(","))
    if not all(map(is_root_name, roots)) or len({root.lower() for root in roots}) < len(roots):
        raise CannotStart(f"--roots {text!r} is not a list of different names such as flash,sd")
    return roots


def _check_public_address(address: str) -> None:
    try:
        if address:
            ip_address(address)
    except ValueError as error:
        raise CannotStart(f"--ftp-public-address {address!r} is not an IP address") from error
