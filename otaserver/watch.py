"""Keeping the catalogue up to date with the disk while the server runs."""

import threading
from collections.abc import Callable, Collection
from dataclasses import replace

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python.failure import Failure

from otaserver.catalogue.first_offers import FirstOffers
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.model import Catalogue, Folder
from otaserver.catalogue.problems import Problem
from otaserver.catalogue.release_rules import DEFAULT_ROOTS
from otaserver.catalogue.scan import ScanCancelled, ScanError, Scanner
from otaserver.clock import Clock, DelayedCall
from otaserver.worker import Worker

# Scans of a large tree may take at most this share of the time.
_BUSY_SHARE = 0.05

_NOTHING = "release none, firmware none"


class CatalogueWatch(Service):
    """Scans the release tree periodically, in a worker thread.

    Args:
        clock: the clock that schedules scans.
        worker: runs the scans; it must have a single thread.
        open_hashes: opens the hash store; called when the service starts.
        open_first_offers: likewise, for what releases contained when they were first
            offered.
        root: the release tree's folder.
        settle_s: how long a release must have been left unchanged before it is
            offered, in seconds.
        poll_s: the time between the end of one scan and the start of the next, in
            seconds; longer if scans take long.
        roots: the folders of a device that releases may have files in.

    Attributes:
        catalogue: the latest catalogue; None until the first scan is done.
    """

    log = Logger()

    def __init__(
        self,
        clock: Clock,
        worker: Worker,
        open_hashes: Callable[[], HashStore],
        open_first_offers: Callable[[], FirstOffers],
        root: str,
        settle_s: float,
        poll_s: float,
        roots: Collection[str] = DEFAULT_ROOTS,
    ) -> None:
        self.catalogue: Catalogue | None = None
        self._clock = clock
        self._worker = worker
        self._open_hashes = open_hashes
        self._open_first_offers = open_first_offers
        self._root = root
        self._settle_s = settle_s
        self._poll_s = poll_s
        self._roots = roots
        self._listeners: list[Callable[[], None]] = []
        self._stopping = threading.Event()
        self._next: DelayedCall | None = None
        self._is_asked_again = False
        self._problems: frozenset[Problem] = frozenset()
        self._offers: dict[str, str] = {}
        self._error = ""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Register a function to be called whenever the catalogue changes.

        Args:
            listener: called in the reactor's thread.
        """
        self._listeners.append(listener)

    def startService(self) -> None:
        """Open the stores and start the first scan.

        Raises:
            StateError: a store can't be opened.
        """
        super().startService()
        self._hashes = self._open_hashes()
        self._first_offers = self._open_first_offers()
        self._scanner = Scanner(
            self._root,
            self._hashes,
            self._settle_s,
            self._roots,
            self._first_offers,
            monotonic_s=self._clock.seconds,
        )
        self._scan()

    def stopService(self) -> None:
        """Cancel a scan in progress, and close the stores."""
        super().stopService()
        self._stopping.set()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        # In the worker's single thread, and so after the scan.
        self._worker.run(self._hashes.close)
        self._worker.run(self._first_offers.close)

    def scan_now(self) -> None:
        """Scan at once; if a scan is in progress, once more right after it."""
        if self._next is not None:
            self._next.cancel()
            self._scan()
        else:
            self._is_asked_again = True

    def _scan(self) -> None:
        self._next = None
        self._is_asked_again = False
        started_s = self._clock.seconds()
        before = self.catalogue
        scanning = self._worker.run(self._scanner.scan, self.catalogue, self._check)
        scanning.addCallbacks(self._show, self._report)
        scanning.addErrback(lambda failure: self.log.failure("The scan failed", failure))
        scanning.addCallback(lambda _: self._scan_later(self._walk_s(started_s, before)))

    def _check(self) -> None:
        if self._stopping.is_set():
            raise ScanCancelled("The server is stopping.")

    def _walk_s(self, started_s: float, before: Catalogue | None) -> float:
        """Estimate how long the next scan will take if nothing changes, in seconds.

        A scan that found changes spent its time on hashing, which is not repeated.
        """
        return self._clock.seconds() - started_s if self.catalogue is before else 0.0

    def _scan_later(self, took_s: float) -> None:
        if not self.running:
            return
        wait_s = self._poll_s
        if self.catalogue is not None and self.catalogue.unsettled:
            wait_s = min(wait_s, self._settle_s)
        wait_s = 0 if self._is_asked_again else max(wait_s, took_s / _BUSY_SHARE)
        self._next = self._clock.callLater(wait_s, self._scan)

    def _show(self, catalogue: Catalogue) -> None:
        self._error = ""
        if catalogue is self.catalogue:
            return
        self._say_what_is_wrong(frozenset(catalogue.problems))
        self.catalogue = catalogue
        self._say_what_is_offered(catalogue.root)
        for listener in self._listeners:
            listener()

    def _say_what_is_wrong(self, problems: frozenset[Problem]) -> None:
        """Log what has changed in the list of problems; what is mended first."""
        for problem in sorted(self._problems - problems):
            self.log.info("No longer: {problem}.", problem=str(replace(problem, remedy="")))
        for problem in sorted(problems - self._problems):
            self.log.warn("{problem}.", problem=str(problem))
        self._problems = problems

    def _say_what_is_offered(self, folder: Folder) -> None:
        if folder.tree is not None:
            release, firmware = folder.tree.newest_release, folder.tree.newest_firmware
            offer = (
                f"release {release.version if release else 'none'}, "
                f"firmware {firmware.version if firmware else 'none'}"
            )
            # That the root offers nothing is worth a line; that a product does is not.
            before = self._offers.get(folder.path, _NOTHING if folder.path else "")
            if offer != before:
                self._offers[folder.path] = offer
                self.log.info("/{path} offers {offer}", path=folder.path, offer=offer)
            for inner in folder.folders.values():
                self._say_what_is_offered(inner)

    def _report(self, failure: Failure) -> None:
        """Log once why the tree can't be read; the last catalogue stays in use."""
        if failure.check(ScanCancelled):
            return
        failure.trap(ScanError)
        error = failure.getErrorMessage()
        if error != self._error:
            self.log.error("{error}", error=error)
        self._error = error
