"""``twistd otaserver``: the options, and how everything is wired together."""

import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.application import strports
from twisted.application.service import MultiService
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.portal import Portal
from twisted.internet.error import CannotListenError
from twisted.python import usage

from otaserver.access_log import AccessLog
from otaserver.byte_cache import ByteCache
from otaserver.errors import OTAServerError
from otaserver.ftp.addresses import canonical
from otaserver.ftp.factory import FTPFactory
from otaserver.ftp.factory import Timeouts as FTPTimeouts
from otaserver.ftp.login import LoginPolicy
from otaserver.ftp.network import ReactorNetwork
from otaserver.ftp.shell import ReadOnlyShell, Realm
from otaserver.hashes import HashStore
from otaserver.http.content import Content
from otaserver.http.site import Site, Timeouts
from otaserver.http.target import BadTarget, checked_host
from otaserver.limits import ConnectionLimits
from otaserver.manifest_cache import ManifestCache
from otaserver.watch import CatalogueWatch
from otaserver.worker import ThreadWorker, Worker

# RFC 3986, section 3.3, has the characters of a path.
_PUBLIC_URL = re.compile(
    r"https?://(?P<authority>[^/?#@]*)(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?", re.ASCII
)


class CannotStart(OTAServerError, SystemExit):
    """The server can't run as it was asked to.

    It is both kinds of exception: twistd tidies up after the one, and Python
    ends the process with the other's line and without a traceback.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = f"otaserver: {why}"


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
    """The command line of ``twistd otaserver``."""

    synopsis = "[options]"
    longdesc = (
        "Brings MicroPython devices from the version that they run to the newest one: serves "
        "a folder of releases, as manifests that say what a device must do, and as files. "
        "Without options it serves ./releases over HTTP on port 8000 and over FTP on port 2121. "
        "Times are in seconds, sizes in bytes."
    )
    optParameters = [
        ["root", "r", "releases", "The release tree: the folder that is served."],
        ["http", None, "tcp:8000", "Where to serve HTTP, as an endpoint; '' for nowhere."],
        ["ftp", None, "tcp:2121", "Where to serve FTP, as an endpoint; '' for nowhere."],
        ["public-url", None, "", "What URLs begin with, instead of the host that a client names."],
        ["settle", None, 2.0, "How long a release must have been left alone.", _NUMBER],
        ["poll", None, 2.0, "The time between two looks at the tree.", _at_least(0.1, float)],
        ["state", None, ".otaserver", "The folder for what outlives the server: hashes."],
        ["cache-size", None, 32 << 20, "How many bytes of answers may be kept.", _COUNT],
        ["max-connections", None, 2000, "Connections in all; 0 for no limit.", _COUNT],
        ["max-per-address", None, 200, "Connections from one address; 0 for no limit.", _COUNT],
        ["request-timeout", None, 30.0, "The time to send a request.", _TIMEOUT],
        ["idle-timeout", None, 60.0, "The time between two requests.", _TIMEOUT],
        ["stall-timeout", None, 60.0, "How long a client may read too slowly.", _TIMEOUT],
        ["min-rate", None, 100.0, "What is too slow, in bytes a second.", _NUMBER],
        ["ftp-public-address", None, "", "The address that FTP tells to clients behind NAT."],
        ["ftp-passive-ports", None, "49152-65535", "The ports that FTP may open for data."],
        ["ftp-max-connections", None, 2000, "FTP connections in all; 0 for no limit.", _COUNT],
        ["ftp-max-per-address", None, 200, "The same from one address.", _COUNT],
        ["ftp-max-command", None, 8192, "How long an FTP command may be.", _at_least(64, int)],
        ["ftp-login-attempts", None, 3, "How often one may try to log in.", _at_least(1, int)],
        ["ftp-login-delay", None, 1.0, "How long a wrong log-in takes.", _TIMEOUT],
        ["ftp-login-timeout", None, 60.0, "The time to log in.", _TIMEOUT],
        ["ftp-idle-timeout", None, 300.0, "The time between two FTP commands.", _TIMEOUT],
        ["ftp-data-timeout", None, 30.0, "The time to open a data connection.", _TIMEOUT],
    ]
    optFlags = [
        ["legacy", None, "Serve the original client: absolute paths, heads that it can read."],
        ["no-access-log", None, "Don't log requests."],
    ]

    def opt_version(self) -> None:
        """Display the versions of otaserver and Twisted, and exit."""
        print(f"otaserver {version('otaserver')}, Twisted {version('twisted')}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Check what can be checked before anything is started."""
        self["root"] = str(Path(self["root"]).absolute())
        self["state"] = Path(self["state"]).absolute()
        self["public-url"] = self["public-url"].rstrip("/")
        _check_root(Path(self["root"]))
        _check_public_url(self["public-url"])
        _check_public_address(self["ftp-public-address"])
        self["ftp-passive-ports"] = _ports(self["ftp-passive-ports"])
        if not self["http"] and not self["ftp"]:
            raise CannotStart("there is nothing to serve: --http and --ftp are both empty")


class _Server(MultiService):
    """All services; what keeps one from starting is said in one line.

    Args:
        root: the release tree.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def privilegedStartService(self) -> None:
        """Listen, while low ports can still be had."""
        with _one_line():
            super().privilegedStartService()

    def startService(self) -> None:
        """Start the rest."""
        with _one_line():
            # Privileges may be dropped since the options were read.
            _check_root(self._root)
            super().startService()


def makeService(options: Options) -> MultiService:
    """Wire the server together.

    Args:
        options: the command line, parsed.

    Raises:
        CannotStart: an endpoint's description is none.
    """
    from twisted.internet import reactor

    _allow_as_many_files_as_possible()
    server = _Server(Path(options["root"]))

    scanning = ThreadWorker(reactor, 1, "scan")
    scanning.setServiceParent(server)
    working = ThreadWorker(reactor, 4, "work")
    working.setServiceParent(server)

    watch = CatalogueWatch(
        clock=reactor,
        worker=scanning,
        open_hashes=lambda: HashStore(options["state"] / "hashes.sqlite3"),
        root=options["root"],
        settle_s=options["settle"],
        poll_s=options["poll"],
    )
    watch.setServiceParent(server)
    manifests = ManifestCache(working, options["cache-size"] // 2)
    watch.on_change(manifests.clear)

    if options["http"]:
        site = _http(options, reactor, watch, manifests, working)
        watch.on_change(site.catalogue_changed)
        _listen("--http", options["http"], site).setServiceParent(server)
    if options["ftp"]:
        ftp = _ftp(options, reactor, watch, manifests, working)
        _listen("--ftp", options["ftp"], ftp).setServiceParent(server)
    return server


def _http(
    options: Options, reactor: Any, watch: CatalogueWatch, manifests: ManifestCache, worker: Worker
) -> Site:
    return Site(
        clock=reactor,
        root=options["root"],
        content=Content(lambda: watch.catalogue, manifests, worker, bool(options["legacy"])),
        worker=worker,
        answers=ByteCache(options["cache-size"] // 2),
        limits=ConnectionLimits(options["max-connections"], options["max-per-address"]),
        timeouts=Timeouts(
            request_s=options["request-timeout"],
            idle_s=options["idle-timeout"],
            stall_s=options["stall-timeout"],
            min_rate=options["min-rate"],
        ),
        access_log=None if options["no-access-log"] else AccessLog(reactor),
        public_url=options["public-url"],
        legacy=bool(options["legacy"]),
    )


def _ftp(
    options: Options, reactor: Any, watch: CatalogueWatch, manifests: ManifestCache, worker: Worker
) -> FTPFactory:
    shell = ReadOnlyShell(
        catalogue=lambda: watch.catalogue,
        manifests=manifests,
        worker=worker,
        root=options["root"],
        legacy=bool(options["legacy"]),
    )
    realm: Any = Realm(shell)
    everybody: Any = AllowAnonymousAccess()
    return FTPFactory(
        clock=reactor,
        portal=Portal(realm, [everybody]),
        network=ReactorNetwork(reactor, options["ftp-passive-ports"]),
        login_policy=LoginPolicy(options["ftp-login-attempts"], options["ftp-login-delay"]),
        limits=ConnectionLimits(options["ftp-max-connections"], options["ftp-max-per-address"]),
        timeouts=FTPTimeouts(
            login_s=options["ftp-login-timeout"],
            idle_s=options["ftp-idle-timeout"],
            data_s=options["ftp-data-timeout"],
            stall_s=options["stall-timeout"],
            min_rate=options["min-rate"],
        ),
        max_command_bytes=options["ftp-max-command"],
        access_log=None if options["no-access-log"] else AccessLog(reactor),
        public_host=canonical(options["ftp-public-address"]),
    )


def _listen(option: str, endpoint: str, factory: Any) -> Any:
    try:
        return strports.service(endpoint, factory)
    except Exception as error:
        # Each kind of endpoint reads its own description and files, and raises what it likes.
        raise CannotStart(f"{option} {endpoint!r} is no endpoint: {error}") from error


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (OTAServerError, CannotListenError, OSError, OverflowError) as error:
        # By now twistd has made sys.stderr a part of its log.
        print(f"otaserver: {error}", file=sys.__stderr__)
        raise CannotStart(str(error)) from error


def _check_root(root: Path) -> None:
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise CannotStart(f"can't read the release tree {root}: {error.strerror}") from error


def _check_public_url(url: str) -> None:
    match = _PUBLIC_URL.fullmatch(url)
    try:
        if url:
            checked_host(match["authority"].encode() if match else b"")
    except BadTarget as error:
        raise CannotStart(f"--public-url {url!r} is not like http://ota.example.com") from error


def _ports(text: str) -> range:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65536):
        raise usage.UsageError(f"--ftp-passive-ports {text!r} is not like 30000-30999")
    return range(int(first), int(last) + 1)


def _check_public_address(address: str) -> None:
    try:
        if address:
            ip_address(address)
    except ValueError as error:
        raise CannotStart(f"--ftp-public-address {address!r} is no address") from error


def _allow_as_many_files_as_possible() -> None:
    """Each connection takes a file descriptor, and a download one more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
