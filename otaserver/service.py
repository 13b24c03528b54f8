"""The update server itself, without a protocol: the one interface that HTTP and FTP use.

A protocol adapter turns bytes into calls to `UpdateServer`, and the results into
bytes. It knows nothing else of the core: neither where files are on disk, nor how an
offer is decided, nor what is cached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from otaserver.catalogue.model import MANIFEST_NAME, Catalogue, File, Folder, ReleaseTree
from otaserver.catalogue.paths import TreePath
from otaserver.catalogue.problems import Problem
from otaserver.catalogue.stamps import FileChanged
from otaserver.disk.open_file import OpenFile
from otaserver.disk.open_files import OpenFiles
from otaserver.encoded_manifests import EncodedManifest, EncodedManifests
from otaserver.errors import OTAServerError
from otaserver.manifest.offer import Offer, offer
from otaserver.manifest.update_request import UpdateRequest, parse_update_request


class NothingHere(OTAServerError):
    """There is nothing to serve at a path."""

    def __init__(self) -> None:
        super().__init__("There is nothing at this address.")


class TreeNotReadYet(OTAServerError):
    """There is no catalogue yet to look anything up in."""

    def __init__(self) -> None:
        super().__init__("The release tree is still being read for the first time.")


class TreeAway(TreeNotReadYet):
    """The release tree, or the part of it that is asked for, is not there at the moment."""

    def __init__(self) -> None:
        OTAServerError.__init__(self, "The releases are not there at the moment; try again.")


@dataclass(frozen=True, slots=True)
class ManifestRequest:
    """A device's request for its manifest.

    Attributes:
        folder: the release tree that it is about.
        update: what the device says about itself.
        offer: what the device is offered, as far as versions alone decide. It stays the
            same as long as the catalogue does, so it is decided once for all devices that
            ask the same. Whatever depends on more, such as the device or the time,
            belongs in `UpdateServer.manifest`.
    """

    folder: Folder
    update: UpdateRequest
    offer: Offer

    @classmethod
    def about(cls, folder: Folder, update: UpdateRequest) -> "ManifestRequest":
        """Make a request about a release tree.

        Args:
            folder: the release tree.
            update: what the device says about itself.

        Returns:
            The request, with its offer.
        """
        return cls(folder, update, offer(folder.tree or ReleaseTree(), update))


@dataclass(frozen=True, slots=True)
class FolderView:
    """What people are shown of a folder.

    Attributes:
        folder: the folder.
        product: the release tree that it belongs to: itself, or the nearest one above.
        problems: what is wrong with it or anything below it, the gravest first.
    """

    folder: Folder
    product: Folder
    problems: tuple[Problem, ...] = ()


# So many different unreadable versions are logged; a client could make up any number.
_MAX_UNREADABLE = 100

Found = File | Folder | ManifestRequest


class DeviceObserver(Protocol):
    """Is told what devices do."""

    def checked_in(self, request: ManifestRequest, peer_host: str) -> None:
        """Take note of a check-in; see `UpdateServer.check_in`."""


class UpdateServer:
    """Finds, decides and opens what devices and people ask for.

    What devices report enters here as well: `check_in` when they ask; reports of how
    an update ended would belong beside it.

    Args:
        files: opens files.
        catalogue: returns the newest catalogue; None before there is one.
        manifests: encodes and keeps manifests.
        observers: are told of check-ins.
    """

    log = Logger()

    def __init__(
        self,
        files: OpenFiles,
        catalogue: Callable[[], Catalogue | None],
        manifests: EncodedManifests,
        observers: Sequence[DeviceObserver] = (),
    ) -> None:
        self._files = files
        self._catalogue = catalogue
        self._manifests = manifests
        self._observers = observers
        self._unreadable: set[str] = set()

    def find(self, path: TreePath, query: bytes = b"") -> Found:
        """Find what is at a path.

        Args:
            path: where to look.
            query: what a device says about itself; ignored unless a manifest is
                at the path.

        Returns:
            The file or folder in the catalogue, or the device's request.

        Raises:
            TreeNotReadYet: there is no catalogue yet.
            TreeAway: what would be there is on a disk that is away.
            NothingHere: it has nothing at this path.
            otaserver.manifest.update_request.BadUpdateRequest: the query is
                malformed.
        """
        catalogue = self._catalogue()
        if catalogue is None:
            raise TreeNotReadYet
        if catalogue.is_away(path.names):
            raise TreeAway
        if path.names and path.names[-1] == MANIFEST_NAME and not path.is_folder:
            folder = catalogue.find(path.names[:-1])
            if isinstance(folder, Folder) and folder.tree is not None:
                update = parse_update_request(query)
                self._note_unreadable(update)
                return ManifestRequest.about(folder, update)
        entry = catalogue.find(path.names)
        if entry is None or (path.is_folder and isinstance(entry, File)):
            raise NothingHere
        return entry

    def view(self, path: TreePath) -> FolderView:
        """Describe the folder at a path, or the nearest one above it.

        Args:
            path: where to look.

        Returns:
            The folder, with its surroundings.

        Raises:
            TreeNotReadYet: there is no catalogue yet.
        """
        catalogue = self._catalogue()
        if catalogue is None:
            raise TreeNotReadYet
        folder = product = catalogue.root
        for name in path.names:
            inner = folder.folders.get(name)
            if inner is None:
                break
            folder = inner
            product = folder if folder.tree is not None else product
        problems = tuple(
            problem
            for problem in catalogue.problems
            if problem.path == folder.path or problem.path.startswith(folder.prefix)
        )
        return FolderView(folder, product, problems)

    def _note_unreadable(self, update: UpdateRequest) -> None:
        """Log a version that can't be compared, once: its device counts as having none."""
        for version, rank in (
            (update.current_ver, update.rank),
            (update.firmware_ver, update.firmware_rank),
        ):
            if version is None or rank is not None or version in self._unreadable:
                continue
            if len(self._unreadable) < _MAX_UNREADABLE:
                self._unreadable.add(version)
                self.log.warn(
                    "A device reports the version {version!r}, which doesn't begin like one: "
                    "it is taken for unknown.",
                    version=version,
                )

    def check_in(self, request: ManifestRequest, peer_host: str) -> None:
        """Note a device's check-in; protocols call this whenever a device fetches a manifest.

        Args:
            request: the device's request.
            peer_host: the device's address; empty if it has none.
        """
        for observer in self._observers:
            observer.checked_in(request, peer_host)

    def manifest(
        self, request: ManifestRequest, base_url: str
    ) -> "EncodedManifest | Deferred[EncodedManifest]":
        """Get a device's manifest.

        Args:
            request: the device's request, as `find` returned it.
            base_url: what precedes the path of a file in URLs, without a ``/`` at
                its end.

        Returns:
            The manifest, which usually is at hand; otherwise a Deferred that fires with it.
        """
        return self._manifests.get(request.folder, request.offer, base_url)

    def open(self, file: File) -> "OpenFile | Deferred[OpenFile]":
        """Open a file of the catalogue, if it is still the same file.

        Args:
            file: the file, as `find` returned it.

        Returns:
            The open file, which the caller releases, or a Deferred that fires with it.
            That fails with FileRemoved if the file is no longer there; with FileChanged if it is a
            different file by now, its content may have changed, or it can't be opened; and
            with `otaserver.disk.disk.DiskBusy` if the disk doesn't answer.
        """
        try:
            opened = self._files.get(file)
        except (OTAServerError, OSError):
            opened = fail()
        if isinstance(opened, Deferred):
            opened.addErrback(self._explain, file)
        return opened

    def _explain(self, failure: Failure, file: File) -> Failure:
        """Log why a file can't be opened, which concerns nobody else."""
        error = failure.value
        if not isinstance(error, OSError):
            return failure
        self.log.warn("{path} can't be sent: {error}", path=file.path, error=error)
        return Failure(FileChanged())
