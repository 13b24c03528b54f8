"""Reading a release tree from disk into a catalogue; only changed files are hashed.

How it works. A scan walks the whole tree, because no change notification works on
every file system. It builds a new catalogue from the bottom up: a file with the same
stamp as before keeps its `File`, a folder in which nothing changed keeps its `Folder`,
and so on up to the root. A scan that finds no change thus returns the previous
catalogue itself, which callers recognize by identity. A hash is taken from the
previous catalogue if possible, then from the `HashStore`, and computed otherwise.

Why it is safe. A catalogue is immutable and is published whole, so no request ever
sees a partial scan. A release enters it only if (1) the walk could read all of it,
(2) it has settled (see `settling`), and (3) each file had the same stamp before and
after it was hashed. While one of these conditions is temporarily not met, the release
stays as it was in the previous catalogue: devices are neither offered half a release,
nor told to delete files that a copy in progress has yet to create. A release that
can't be read completely (for lack of permission, say) is served file by file, but it
is neither offered nor compared with others, because devices would delete the files
that are missing from the catalogue.

Scanning blocks, so it runs in a worker thread, one scan at a time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from otaserver.catalogue.first_offers import FirstOffers
from otaserver.catalogue.folders import are_same, offered_paths, release_named, same_or_new
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.hashing import hash_file, leave_unhashed
from otaserver.catalogue.inspection import (
    changed_offer,
    inspected_firmware,
    inspected_release,
    misnamed_file,
    misplaced_folder,
)
from otaserver.catalogue.model import (
    MANIFEST_NAME,
    Catalogue,
    File,
    Firmware,
    Folder,
    Release,
    ReleaseTree,
)
from otaserver.catalogue.names import firmware_version
from otaserver.catalogue.problems import Problem, Weight
from otaserver.catalogue.release_rules import DEFAULT_ROOTS
from otaserver.catalogue.release_tree import release_tree
from otaserver.catalogue.settling import Settling
from otaserver.catalogue.stamps import FileChanged, Stamp
from otaserver.catalogue.versions import is_version_name
from otaserver.catalogue.walk import (
    Ancestors,
    TreeWalker,
    WalkedFolder,
    fingerprint_of,
    joined,
    weight_of_loss,
)
from otaserver.errors import OTAServerError

_LET_READ = "let the server read it"

_NO_FILES: Mapping[str, File] = MappingProxyType({})


class ScanError(OTAServerError):
    """The root of the tree can't be read."""


class ScanCancelled(OTAServerError):
    """A scan was cancelled because the server is stopping."""


class Scanner:
    """Scans one release tree repeatedly.

    Args:
        root: the release tree's folder.
        hashes: the store that keeps hashes across restarts.
        settle_s: how long a release must have been left unchanged before it is
            offered, in seconds.
        roots: the folders of a device that releases may have files in.
        first_offers: the store that keeps what releases contained at first; None for not
            comparing them with that.
        reads_content: whether files are hashed; otherwise they are only opened, and hashes
            and content ids mean nothing. What is offered does not depend on them.
        wall_s: the clock that file times are taken from, in seconds since 1970.
        monotonic_s: a clock that is never set, in seconds.
    """

    def __init__(
        self,
        root: str,
        hashes: HashStore,
        settle_s: float,
        roots: Iterable[str] = DEFAULT_ROOTS,
        first_offers: FirstOffers | None = None,
        reads_content: bool = True,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._hashes = hashes
        self._first_offers = first_offers
        self._reads_content = reads_content
        self._roots = tuple(roots)
        self._settling = Settling(settle_s, wall_s, monotonic_s)

    def scan(
        self, previous: Catalogue | None = None, check: Callable[[], None] = lambda: None
    ) -> Catalogue:
        """Scan the tree.

        Args:
            previous: the catalogue from the last scan; its unchanged parts are reused.
            check: called often; it may raise to cancel the scan.

        Returns:
            The new catalogue; ``previous`` itself if nothing changed.

        Raises:
            ScanError: the root can't be read.
        """
        walker = TreeWalker(self._root, check)
        run = _Run(
            walker,
            self._hashes,
            self._first_offers,
            self._reads_content,
            self._settling,
            self._roots,
            check,
        )
        try:
            top = walker.walk_one("")
        except OSError as error:
            raise ScanError(f"can't read the release tree: {error}") from error
        root = run.tree_folder(top, previous.root if previous else None)
        self._hashes.commit()
        if self._first_offers is not None:
            self._first_offers.commit()
        self._settling.end_scan()
        catalogue = Catalogue(root, tuple(sorted(walker.problems)), run.unsettled)
        if catalogue == previous:
            return previous
        self._hashes.forget_all_but([file.path for file in root.walk()])
        if self._first_offers is not None:
            self._first_offers.forget_all_but(
                {walker.absolute(path) for path in offered_paths(root)}
            )
        return catalogue


@dataclass(slots=True)
class _Run:
    """The state of one scan."""

    walker: TreeWalker
    hashes: HashStore
    first_offers: FirstOffers | None
    reads_content: bool
    settling: Settling
    roots: tuple[str, ...]
    check: Callable[[], None]
    unsettled: bool = field(default=False)

    def tree_folder(self, walked: WalkedFolder, previous: Folder | None) -> Folder:
        """Read a folder that holds releases, firmware and products."""
        folders: dict[str, Folder] = {}
        releases: list[Release] = []
        for name in walked.folder_names:
            path = joined(walked.path, name)
            before = previous.folders.get(name) if previous else None
            release = None
            if is_version_name(name):
                known = release_named(previous, name)
                folder, release = self._release(path, walked.ancestors, before, known)
            else:
                folder = self._product(path, walked.ancestors, before)
            if folder is not None:
                folders[name] = folder
            if release is not None:
                releases.append(release)
        files = self._files_of_tree(walked, previous)
        firmwares = list(self._firmwares(files.values(), previous))
        tree = previous.tree if previous else None
        if tree is None or not (
            are_same(releases, tree.releases) and are_same(firmwares, tree.firmwares)
        ):
            # Comparing each release with the newest takes as long as the walk.
            tree = release_tree(releases, firmwares, walked.path)
        self.walker.problems += tree.problems
        self._compare_with_first_offers(walked.path, tree)
        return same_or_new(walked, folders, files, tree, previous)

    def _product(self, path: str, ancestors: Ancestors, previous: Folder | None) -> Folder | None:
        try:
            walked = self.walker.walk_one(path, ancestors)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.walker.add_problem(path, f"can't be read: {error.strerror}", _LET_READ)
            return None
        problem = self._misplaced(walked)
        if problem is None:
            return self.tree_folder(walked, previous)
        # Served file by file, and without a manifest: that of an empty product would tell
        # its devices that they are up to date.
        self.walker.problems.append(problem)
        folder, _ = self._whole(path, ancestors, previous)
        return folder

    def _misplaced(self, walked: WalkedFolder) -> Problem | None:
        """Find out whether a folder was meant to be a release, or a part of one."""
        if any(map(is_version_name, walked.folder_names)) or any(
            firmware_version(name) is not None for name in walked.files
        ):
            return None  # a product
        return misplaced_folder(walked.path, {*walked.folder_names, *walked.files}, self.roots)

    def _release(
        self,
        path: str,
        ancestors: Ancestors,
        previous: Folder | None,
        known: Release | None,
    ) -> tuple[Folder | None, Release | None]:
        """Read a release; while it is changing, keep it as it was in the previous catalogue."""
        folder, walked = self._whole(path, ancestors, previous)
        if folder is None or walked is None:
            return previous, known
        if not walked.is_complete:
            # If part of a release were offered, devices would delete the rest.
            self.walker.add_problem(
                path, "can't be read completely, and is not offered", "see what else is said of it"
            )
            return folder, None
        if known is not None and folder is previous:
            return folder, known
        try:
            release = inspected_release(folder, self.roots, self.walker.absolute(""))
        except FileChanged:
            self.unsettled = True
            return previous, known
        if not release.files:
            # Files are probably about to be copied into it; offered now, it would erase devices.
            self.walker.add_problem(path, "has no files, and is not offered", "copy them into it")
            return folder, None
        return folder, release

    def _whole(
        self, path: str, ancestors: Ancestors, previous: Folder | None
    ) -> tuple[Folder | None, WalkedFolder | None]:
        """Read all of a folder; while it is changing, the previous one, and no walk."""
        try:
            walked = self.walker.walk_whole(path, ancestors)
            if not self._is_being_uploaded(walked):
                if self.settling.is_settled(path, walked.fingerprint(), walked.changed_ns()):
                    folder = self._inside_release(walked, previous)
                    self.hashes.commit()
                    return folder, walked
                self.unsettled = True
        except FileChanged:
            self.unsettled = True
        return previous, None

    def _is_being_uploaded(self, walked: WalkedFolder) -> bool:
        """Report the first file whose upload has not come to its end."""
        unfinished = next((f for inner in walked.all_folders() for f in inner.unfinished), None)
        if unfinished is None:
            return False
        self.unsettled = True
        self.walker.add_problem(
            unfinished,
            f"is an unfinished upload, and {walked.path} is not offered as it is now",
            "finish it, or delete the file",
        )
        return True

    def _compare_with_first_offers(self, path: str, tree: ReleaseTree) -> None:
        if self.first_offers is None:
            return
        for release in tree.releases:
            where = joined(path, release.version)
            if not release.problems:
                self._compare_with_first_offer(where, release.content_id, release.files)
        for firmware in tree.firmwares:
            file = firmware.file
            if not firmware.problems:
                self._compare_with_first_offer(file.path, file.sha256, {file.name: file})

    def _compare_with_first_offer(
        self, path: str, content_id: str, files: Mapping[str, File]
    ) -> None:
        assert self.first_offers is not None
        changed = self.first_offers.changed_files(self.walker.absolute(path), content_id, files)
        if changed:
            self.walker.problems.append(changed_offer(path, changed))

    def _firmwares(self, files: Iterable[File], previous: Folder | None) -> Iterator[Firmware]:
        known = (
            {f.version: f for f in previous.tree.firmwares} if previous and previous.tree else {}
        )
        for file in files:
            version = firmware_version(file.name)
            if version is None:
                continue
            firmware = known.get(version)
            if firmware is None or firmware.file != file:
                try:
                    firmware = inspected_firmware(version, file, self.walker.absolute(""))
                except FileChanged:
                    self.unsettled = True
            if firmware is not None:
                yield firmware

    def _inside_release(self, walked: WalkedFolder, previous: Folder | None) -> Folder:
        folders = {
            name: self._inside_release(inner, previous.folders.get(name) if previous else None)
            for name, inner in walked.folders.items()
        }
        known = previous.files if previous else _NO_FILES
        files = {}
        for name, stamp in walked.files.items():
            file = self._file(walked.path, name, stamp, known.get(name))
            if file is None:
                walked.is_complete = False
            else:
                files[name] = file
        walked.is_complete &= all(inner.is_complete for inner in walked.folders.values())
        return same_or_new(walked, folders, files, None, previous)

    def _files_of_tree(self, walked: WalkedFolder, previous: Folder | None) -> dict[str, File]:
        """Read the files next to the releases; each of them settles separately."""
        known = previous.files if previous else _NO_FILES
        files: dict[str, File] = {}
        for name, stamp in walked.files.items():
            path = joined(walked.path, name)
            if name == MANIFEST_NAME:
                self.walker.add_problem(
                    path,
                    "is hidden by the generated manifest of the same name",
                    "delete it",
                    Weight.LEFT_OUT,
                )
                continue
            misnamed = misnamed_file(path, self.roots)
            if misnamed is not None:
                self.walker.problems.append(misnamed)
            file = known.get(name)
            if self.settling.is_settled(path, fingerprint_of(stamp), stamp.ctime_ns):
                try:
                    file = self._file(walked.path, name, stamp, file)
                except FileChanged:
                    self.unsettled = True
            else:
                self.unsettled = True
            if file is not None:
                files[name] = file
        return files

    def _file(self, folder_path: str, name: str, stamp: Stamp, known: File | None) -> File | None:
        """Describe a file, hashing it if necessary; None if it can't be read.

        Raises:
            FileChanged: it was changed or removed during the scan.
        """
        if known is not None and known.stamp == stamp:
            return known
        path = joined(folder_path, name)
        self.check()
        hashes = self.hashes.get(path, stamp)
        if hashes is None:
            hashed = hash_file if self.reads_content else leave_unhashed
            try:
                hashes = hashed(self.walker.absolute(path), stamp, self.check)
            except OSError as error:
                self.walker.add_problem(
                    path,
                    f"can't be read: {error.strerror}, and is left out",
                    _LET_READ,
                    weight_of_loss(path),
                )
                return None
            self.hashes.put(path, stamp, hashes)
        return File(path, stamp, hashes.sha1, hashes.sha256)
