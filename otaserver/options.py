"""The command line of ``twistd otaserver``, and what can be checked before a start."""

import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.python import usage

from otaserver.http.target import BadTarget, checked_host
from otaserver.startup import CannotStart, check_root

# RFC 3986, section 3.3, has the characters of a path.
_PUBLIC_URL = re.compile(
    r"https?://(?P<authority>[^/?#@]*)(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?", re.ASCII
)


def _at_least(least: float, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        number = kind(text)
        if not least <= number < float("inf"):
            raise ValueError(f"it must be {least} or more")
        return number

    checked.coerceDoc = f"a number, {least} or more"  # type: ignore[attr-defined]
    return checked


_TIMEOUT = _at_least(1, float)
_NUMBER = _at_least(0, float)
_COUNT = _at_least(0, int)


class Options(usage.Options):
    """The options of ``twistd otaserver``."""

    synopsis = "[options]"
    longdesc = (
        "Brings MicroPython devices from the version that they run to the newest one: serves "
        "a folder of releases, as manifests that say what a device must do, and as files. "
        "Without options it serves ./releases over HTTP on port 8000 and over FTP on port 2121. "
        "Times are in seconds, sizes in bytes."
    )
    optParameters = [
        ["root", "r", "releases", "The release tree: the folder to serve."],
        ["http", None, "tcp:8000", "Where to serve HTTP, as an endpoint; '' for nowhere."],
        ["ftp", None, "tcp:2121", "Where to serve FTP, as an endpoint; '' for nowhere."],
        [
            "public-url",
            None,
            "",
            "What URLs begin with, instead of the host that the client names.",
        ],
        [
            "settle",
            None,
            2.0,
            "How long a release must have been left alone before it is offered.",
            _NUMBER,
        ],
        ["poll", None, 2.0, "The time between two scans of the tree.", _at_least(0.1, float)],
        ["state", None, ".otaserver", "The folder for what has to outlive the server: hashes."],
        ["access-log", None, "", "The file for the access log, instead of Twisted's log."],
        ["cache-size", None, 32 << 20, "How many bytes of answers may be kept in memory.", _COUNT],
        ["max-connections", None, 2000, "Connections in total; 0 for no limit.", _COUNT],
        ["max-per-address", None, 200, "Connections from one address; 0 for no limit.", _COUNT],
        ["request-timeout", None, 30.0, "The time to send a request.", _TIMEOUT],
        ["idle-timeout", None, 60.0, "The time between two requests.", _TIMEOUT],
        ["stall-timeout", None, 60.0, "How long a client may read too slowly.", _TIMEOUT],
        ["min-rate", None, 100.0, "What is too slow, in bytes per second.", _NUMBER],
        ["ftp-public-address", None, "", "The address to tell FTP clients that come through NAT."],
        [
            "ftp-passive-ports",
            None,
            "49152-65535",
            "The ports that FTP may open for data connections.",
        ],
        ["ftp-max-connections", None, 2000, "FTP connections in total; 0 for no limit.", _COUNT],
        ["ftp-max-per-address", None, 200, "The same from one address.", _COUNT],
        ["ftp-max-command", None, 8192, "How long an FTP command may be.", _at_least(64, int)],
        [
            "ftp-login-attempts",
            None,
            3,
            "How many log-in attempts a connection has.",
            _at_least(1, int),
        ],
        ["ftp-login-delay", None, 1.0, "How long a failed log-in takes.", _TIMEOUT],
        ["ftp-login-timeout", None, 60.0, "The time to log in.", _TIMEOUT],
        ["ftp-idle-timeout", None, 300.0, "The time between two FTP commands.", _TIMEOUT],
        ["ftp-data-timeout", None, 30.0, "The time to open a data connection.", _TIMEOUT],
    ]
    optFlags = [
        ["legacy", None, "Serve the original client: absolute paths, heads that it can read."],
        ["no-access-log", None, "Write no access log."],
    ]

    def opt_version(self) -> None:
        """Display the versions of otaserver and Twisted, and exit."""
        print(f"otaserver {version('otaserver')}, Twisted {version('twisted')}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Check what can be checked before anything is started."""
        self["root"] = str(Path(self["root"]).absolute())
        self["state"] = Path(self["state"]).absolute()
        if self["access-log"]:
            # twistd changes to another folder before the file is opened.
            self["access-log"] = str(Path(self["access-log"]).absolute())
        self["public-url"] = self["public-url"].rstrip("/")
        check_root(Path(self["root"]))
        _check_public_url(self["public-url"])
        _check_public_address(self["ftp-public-address"])
        self["ftp-passive-ports"] = _ports(self["ftp-passive-ports"])
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


def _check_public_address(address: str) -> None:
    try:
        if address:
            ip_address(address)
    except ValueError as error:
        raise CannotStart(f"--ftp-public-address {address!r} is not an IP address") from error
