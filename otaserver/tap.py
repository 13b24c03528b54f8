"""``twistd otaserver``: how everything is wired together."""

import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.portal import Portal
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from otaserver.catalogue.first_offers import FirstOffers
from otaserver.catalogue.hash_store import HashStore
from otaserver.clock import make_steady
from otaserver.disk.disk import MAX_THREADS, Disk
from otaserver.disk.open_files import OpenFiles
from otaserver.encoded_manifests import EncodedManifests
from otaserver.endpoints import listen, try_to_listen
from otaserver.ftp.addresses import is_same_host, is_same_network
from otaserver.ftp.factory import FTPFactory
from otaserver.ftp.login import LoginPolicy
from otaserver.ftp.network import ReactorNetwork
from otaserver.ftp.shell import ReadOnlyShell, Realm
from otaserver.ftp.state import SiteState as FTPState
from otaserver.ftp.state import Timeouts as FTPTimeouts
from otaserver.greeting import Greeting
from otaserver.http.routes import Routes
from otaserver.http.site import Site
from otaserver.http.state import SiteState as HTTPState
from otaserver.http.state import Timeouts as HTTPTimeouts
from otaserver.library_forms import LibraryForms
from otaserver.mip.compiler import find_compiler
from otaserver.mip.library import library_folder
from otaserver.options import Options as Options
from otaserver.packages import Packages
from otaserver.service import UpdateServer
from otaserver.signals import Signals
from otaserver.startup import Server
from otaserver.watch import CatalogueWatch
from otaserver.wire.access_log import AccessLogFile, TwistedAccessLog
from otaserver.wire.addresses import canonical
from otaserver.wire.events import ServedEvents
from otaserver.wire.limits import ConnectionLimits
from otaserver.wire.listener import Listener, Shared
from otaserver.wire.turns import Turns
from otaserver.wire.unread import UnreadAnswers
from otaserver.worker import ThreadWorker, Worker

_SCAN_THREADS = 1
_WORK_THREADS = 4
_ENCODING_THREADS = 1

# So many files are kept open that nobody reads at the moment; each takes less than 1 KB.
_MAX_OPEN_FILES = 8192


def makeService(options: Options) -> MultiService:
    """Wire the server together.

    Args:
        options: the command line, parsed.

    Returns:
        The service for twistd to start.

    Raises:
        CannotStart: an endpoint's description is malformed, or its port is taken.
    """
    from twisted.internet import reactor

    make_steady(reactor)
    _allow_as_many_files_as_possible()
    service = Server(Path(options["root"]), options["state"], bool(options["wait-for-root"]))
    signals = Signals(reactor)
    signals.setServiceParent(service)
    greeting = Greeting(options["root"])

    # First, because a file that can't be opened must stop the start before a scan begins.
    events = _events(options, reactor, service, signals)
    scanning = _threads(reactor, service, _SCAN_THREADS, "scan")
    working = _threads(reactor, service, _WORK_THREADS, "work")
    # One at a time: each takes memory while it is made, and no two run at once anyway.
    encoding = _threads(reactor, service, _ENCODING_THREADS, "encode")

    watch = _watch(options, reactor, scanning)
    watch.setServiceParent(service)
    signals.on_hang_up("scanning the release tree", watch.scan_now)
    manifests = _manifests(options, encoding)
    watch.on_change(manifests.clear)
    server = UpdateServer(_files(options, reactor, service), lambda: watch.catalogue, manifests)
    unread = UnreadAnswers(reactor, options["cache-size"] // 2)
    shared = Shared(reactor, time.time, events, Turns(reactor), unread)

    if options["http"]:
        packages = _packages(watch, working)
        watch.on_change(packages.clear)
        routes = Routes(server, packages, encoding, options["cache-size"] // 2)
        watch.on_change(routes.clear)
        site = _http(options, server, shared, routes)
        _serve("http", site, options, greeting, service)
    if options["ftp"]:
        factory = _ftp(options, reactor, server, working, shared)
        _serve("ftp", factory, options, greeting, service)
    # While it can still be said in one line: before twistd turns into a daemon.
    try_to_listen({"--http": options["http"], "--ftp": options["ftp"]})
    # Last, because it tells what the others have opened.
    greeting.setServiceParent(service)
    return service


def _threads(reactor: Any, service: MultiService, count: int, name: str) -> ThreadWorker:
    worker = ThreadWorker(reactor, count, name)
    worker.setServiceParent(service)
    return worker


def _serve(
    protocol: str, factory: Factory, options: Options, greeting: Greeting, service: MultiService
) -> None:
    """Serve connections at the endpoint of the protocol's option."""
    serving = listen(f"--{protocol}", options[protocol], factory)
    greeting.observe(protocol, options[protocol], serving)
    serving.setServiceParent(service)


def _watch(options: Options, reactor: Any, worker: Worker) -> CatalogueWatch:
    return CatalogueWatch(
        clock=reactor,
        worker=worker,
        open_hashes=lambda: HashStore(options["state"] / "hashes.sqlite3", _warn),
        open_first_offers=lambda: FirstOffers(options["state"] / "releases.sqlite3", _warn),
        root=options["root"],
        settle_s=options["settle"],
        roots=options["roots"],
        poll_s=options["poll"],
        is_awaited=bool(options["wait-for-root"]),
    )


def _manifests(options: Options, worker: Worker) -> EncodedManifests:
    return EncodedManifests(
        worker,
        options["cache-size"] // 2,
        legacy=bool(options["legacy"]),
        varies_by_host=not options["public-url"],
    )


def _files(options: Options, reactor: Any, service: MultiService) -> OpenFiles:
    reading = _threads(reactor, service, MAX_THREADS, "disk")
    disk = Disk(reactor, reading, options["disk-timeout"], options["disk-max-waiting"])
    # The others are for connections.
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OpenFiles(options["root"], disk, reactor, min(_MAX_OPEN_FILES, soft // 2))


def _packages(watch: CatalogueWatch, worker: Worker) -> Packages:
    library = LibraryForms(worker, library_folder(), find_compiler())
    return Packages(lambda: watch.catalogue, worker, library, version("otaserver"))


def _events(
    options: Options, reactor: Any, service: MultiService, signals: Signals
) -> ServedEvents:
    """Send what was served to the access log, wherever that is."""
    events = ServedEvents()
    if options["no-access-log"]:
        return events
    if not options["access-log"]:
        twisted_log = TwistedAccessLog(reactor)
        twisted_log.setServiceParent(service)
        events.subscribe(twisted_log.add)
        return events
    writing = _threads(reactor, service, 1, "log")
    log = AccessLogFile(reactor, writing, reactor.callFromThread, Path(options["access-log"]))
    log.setServiceParent(service)
    signals.on_hang_up("reopening the access log", log.reopen)
    events.subscribe(log.add)
    return events


def _http(options: Options, server: UpdateServer, shared: Shared, routes: Routes) -> Site:
    limits = ConnectionLimits(options["max-connections"], options["max-per-address"])
    return Site(
        HTTPState(
            listener=Listener(shared, limits),
            server=server,
            routes=routes,
            timeouts=HTTPTimeouts(
                request_s=options["request-timeout"],
                idle_s=options["idle-timeout"],
                stall_s=options["stall-timeout"],
                min_rate=options["min-rate"],
            ),
            public_url=options["public-url"],
            legacy=bool(options["legacy"]),
        )
    )


def _ftp(
    options: Options, reactor: Any, server: UpdateServer, worker: Worker, shared: Shared
) -> FTPFactory:
    limits = ConnectionLimits(options["ftp-max-connections"], options["ftp-max-per-address"])
    belongs_to = is_same_network if options["ftp-data-from-network"] else is_same_host
    realm: Any = Realm(ReadOnlyShell(server, worker))
    everybody: Any = AllowAnonymousAccess()
    return FTPFactory(
        FTPState(
            listener=Listener(shared, limits),
            portal=Portal(realm, [everybody]),
            network=ReactorNetwork(reactor, options["ftp-passive-ports"], belongs_to),
            login_policy=LoginPolicy(options["ftp-login-attempts"], options["ftp-login-delay"]),
            timeouts=FTPTimeouts(
                login_s=options["ftp-login-timeout"],
                idle_s=options["ftp-idle-timeout"],
                data_s=options["ftp-data-timeout"],
                stall_s=options["stall-timeout"],
                min_rate=options["min-rate"],
            ),
            max_command_bytes=options["ftp-max-command"],
            public_host=canonical(options["ftp-public-address"]),
        )
    )


def _warn(sentence: str) -> None:
    Logger(namespace="otaserver.catalogue").warn("{sentence}.", sentence=sentence)


def _allow_as_many_files_as_possible() -> None:
    """Each connection takes a file descriptor, and a download one more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
