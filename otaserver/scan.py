"""Reading a release tree from disk into a catalogue; only what changed is hashed.

A scan walks the whole tree, because no kind of notification works on every file
system, but it keeps each part of the picture before it that is still true, down
to the same objects. It blocks, so it runs outside the reactor's thread.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from otaserver.catalogue import (
    MANIFEST_NAME,
    Catalogue,
    File,
    Folder,
    Release,
    ReleaseTree,
    Stamp,
    equal_versions,
    release_of,
    release_tree,
)
from otaserver.errors import OTAServerError
from otaserver.files import FileChanged
from otaserver.hashes import HashStore, hash_file
from otaserver.listing import Ancestors, Lister, Listing
from otaserver.versions import is_version_name

_NO_FILES: Mapping[str, File] = MappingProxyType({})


class ScanError(OTAServerError):
    """The tree as a whole can't be read."""


class ScanCancelled(OTAServerError):
    """A scan was asked to end before it was done."""


class Scanner:
    """Reads one release tree, again and again.

    Args:
        root: the tree's folder.
        hashes: where hashes are kept between scans and restarts.
        settle_s: how long nothing in a release may have changed before it is
            offered, in seconds.
        wall_s: the clock that file systems stamp with, in seconds since 1970.
        monotonic_s: a clock that is never set, in seconds.
    """

    def __init__(
        self,
        root: str,
        hashes: HashStore,
        settle_s: float,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._hashes = hashes
        self._settling = _Settling(settle_s, wall_s, monotonic_s)

    def scan(
        self, previous: Catalogue | None = None, check: Callable[[], None] = lambda: None
    ) -> Catalogue:
        """Take a picture of the tree.

        Args:
            previous: the picture before; what is still true of it is kept.
            check: called often; it may raise to end the scan.

        Returns:
            The new picture; ``previous`` itself where nothing changed.

        Raises:
            ScanError: the root can't be read.
        """
        lister = Lister(self._root, check)
        run = _Run(lister, self._hashes, self._settling, check)
        try:
            top = lister.list("")
        except OSError as error:
            raise ScanError(f"can't read the release tree: {error}") from error
        root = run.tree_folder(top, previous.root if previous else None)
        self._hashes.commit()
        self._settling.end_scan()
        catalogue = Catalogue(root, tuple(lister.problems), run.unsettled)
        if catalogue == previous:
            return previous
        self._hashes.forget_all_but([file.path for file in root.walk()])
        return catalogue


class _Settling:
    """Tells whether something has been left alone for long enough."""

    def __init__(
        self, settle_s: float, wall_s: Callable[[], float], monotonic_s: Callable[[], float]
    ) -> None:
        self._settle_s = settle_s
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        # When a change was first seen whose time lies in the future.
        self._seen: dict[str, tuple[int, float]] = {}
        self._seen_before: dict[str, tuple[int, float]] = {}

    def is_settled(self, path: str, changed_ns: int) -> bool:
        age_s = self._wall_s() - changed_ns / 1e9
        if age_s >= self._settle_s or self._settle_s == 0:
            return True
        if age_s >= 0:
            return False
        # A computer without a battery for its clock starts in the past, and
        # then every file is from the future: watch instead of calculating.
        seen = self._seen_before.get(path)
        if seen is None or seen[0] != changed_ns:
            seen = (changed_ns, self._monotonic_s())
        self._seen[path] = seen
        return self._monotonic_s() - seen[1] >= self._settle_s

    def end_scan(self) -> None:
        self._seen_before, self._seen = self._seen, {}


@dataclass(slots=True)
class _Run:
    """One scan."""

    lister: Lister
    hashes: HashStore
    settling: _Settling
    check: Callable[[], None]
    unsettled: bool = field(default=False)

    def tree_folder(self, listing: Listing, previous: Folder | None) -> Folder:
        """Read a folder that holds releases, firmware and products."""
        folders: dict[str, Folder] = {}
        releases: list[Release] = []
        for name in listing.folder_names:
            path = _join(listing.path, name)
            before = previous.folders.get(name) if previous else None
            if not is_version_name(name):
                product = self._product(path, listing.ancestors, before)
                if product is not None:
                    folders[name] = product
                continue
            known = _release_named(previous, name)
            folder, release = self._release(path, listing.ancestors, before, known)
            if folder is not None:
                folders[name] = folder
            if release is not None:
                releases.append(release)
        files = self._files_of_tree(listing, previous)
        tree = release_tree(releases, files)
        for names in equal_versions(tree):
            self.lister.problems.append(
                f"{_where(listing.path)} has versions of equal rank, "
                f"{' and '.join(names)}, and offers none of them"
            )
        return _same_or_new(listing, folders, files, tree, previous)

    def _product(self, path: str, ancestors: Ancestors, previous: Folder | None) -> Folder | None:
        try:
            listing = self.lister.list(path, ancestors)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.lister.problems.append(f"{path} can't be read: {error.strerror}")
            return None
        return self.tree_folder(listing, previous)

    def _release(
        self,
        path: str,
        ancestors: Ancestors,
        previous: Folder | None,
        known: Release | None,
    ) -> tuple[Folder | None, Release | None]:
        """Read a release; while it changes, it stays what it was before."""
        try:
            listing = self.lister.list_all(path, ancestors)
            if not self.settling.is_settled(path, listing.changed_ns()):
                self.unsettled = True
                return previous, known
            folder = self._inside_release(listing, previous)
        except FileChanged:
            self.unsettled = True
            return previous, known
        self.hashes.commit()
        if not listing.is_complete:
            # To offer a part of a release would delete the rest on devices.
            self.lister.problems.append(f"{path} can't be read as a whole, and is not offered")
            return folder, None
        if known is not None and folder is previous:
            return folder, known
        release = release_of(folder)
        if not release.files:
            # Somebody is about to copy into it, and devices would be emptied.
            self.lister.problems.append(f"{path} has no files, and is not offered")
            return folder, None
        return folder, release

    def _inside_release(self, listing: Listing, previous: Folder | None) -> Folder:
        folders = {
            name: self._inside_release(inner, previous.folders.get(name) if previous else None)
            for name, inner in listing.folders.items()
        }
        known = previous.files if previous else _NO_FILES
        files = {}
        for name, stamp in listing.files.items():
            file = self._file(listing.path, name, stamp, known.get(name))
            if file is None:
                listing.is_complete = False
            else:
                files[name] = file
        listing.is_complete &= all(inner.is_complete for inner in listing.folders.values())
        return _same_or_new(listing, folders, files, None, previous)

    def _files_of_tree(self, listing: Listing, previous: Folder | None) -> dict[str, File]:
        """Read the files beside the releases; each of them settles by itself."""
        known = previous.files if previous else _NO_FILES
        files: dict[str, File] = {}
        for name, stamp in listing.files.items():
            path = _join(listing.path, name)
            if name == MANIFEST_NAME:
                self.lister.problems.append(f"{path} is hidden by the manifest of that name")
                continue
            file = known.get(name)
            if self.settling.is_settled(path, stamp.ctime_ns):
                try:
                    file = self._file(listing.path, name, stamp, file)
                except FileChanged:
                    self.unsettled = True
            else:
                self.unsettled = True
            if file is not None:
                files[name] = file
        return files

    def _file(self, folder_path: str, name: str, stamp: Stamp, known: File | None) -> File | None:
        """Make a file's entry; None where it can't be read.

        Raises:
            FileChanged: it is being changed, or was removed, at this moment.
        """
        if known is not None and known.stamp == stamp:
            return known
        path = _join(folder_path, name)
        self.check()
        hashes = self.hashes.get(path, stamp)
        if hashes is None:
            try:
                hashes = hash_file(self.lister.absolute(path), stamp, self.check)
            except FileNotFoundError as error:
                raise FileChanged(f"{path} was removed") from error
            except OSError as error:
                self.lister.problems.append(
                    f"{path} can't be read: {error.strerror}, and is left out"
                )
                return None
            self.hashes.put(path, stamp, hashes)
        return File(path, stamp, hashes.sha1, hashes.sha256)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _where(path: str) -> str:
    return path or "the root"


def _release_named(folder: Folder | None, version: str) -> Release | None:
    releases = folder.tree.releases if folder and folder.tree else ()
    return next((release for release in releases if release.version == version), None)


def _same_or_new(
    listing: Listing,
    folders: Mapping[str, Folder],
    files: Mapping[str, File],
    tree: ReleaseTree | None,
    previous: Folder | None,
) -> Folder:
    """Keep the folder before where it is still true, so that all above it can be kept."""
    if (
        previous is not None
        and previous.mtime_ns == listing.mtime_ns
        and previous.folders == folders
        and previous.files == files
        and previous.tree == tree
    ):
        return previous
    return Folder(
        listing.path,
        listing.mtime_ns,
        MappingProxyType(dict(folders)),
        MappingProxyType(dict(files)),
        tree,
    )
