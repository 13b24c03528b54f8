"""An immutable picture of a release tree at one moment.

Only what is in a catalogue is ever served, so nothing outside the tree, hidden in
it, or linked out of it can be reached through any protocol.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.versions import Rank, rank

MANIFEST_NAME = "manifest.json"

# From the year 1 to the year 9999.
_FIRST_DATE_S, _LAST_DATE_S = -62_135_596_800, 253_402_300_799


def shown_s(time_ns: int) -> int:
    """Bring a file's time into the range that every protocol can write.

    Args:
        time_ns: in nanoseconds since 1970; file systems allow any value.

    Returns:
        Whole seconds since 1970, in a year of four digits.
    """
    return min(max(time_ns // 1_000_000_000, _FIRST_DATE_S), _LAST_DATE_S)


@dataclass(frozen=True, slots=True)
class File:
    """One file that may be served.

    Attributes:
        path: where it is below the root, separated by ``/``, without a leading one.
        stamp: the file's stamp when it was hashed.
        sha1, sha256: its hashes, in lower-case hexadecimal.
    """

    path: str
    stamp: Stamp
    sha1: str
    sha256: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def size_bytes(self) -> int:
        """The length of the file."""
        return self.stamp.size_bytes

    @property
    def mtime_s(self) -> int:
        """When the content changed; see `shown_s`."""
        return shown_s(self.stamp.mtime_ns)


@dataclass(frozen=True, slots=True)
class Release:
    """A device's whole file system at one version.

    Attributes:
        version: the name of the folder as it stands on disk.
        rank: the version's place among all versions.
        files: the files by their path on the device (``flash/main.py``), in order.
    """

    version: str
    rank: Rank
    files: Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Firmware:
    """A complete application image.

    Attributes:
        version: the part of the name between ``firmware_`` and ``.bin``.
        rank: the version's place among all versions.
        file: the image.
    """

    version: str
    rank: Rank
    file: File


@dataclass(frozen=True, slots=True)
class ReleaseTree:
    """The versions in one folder that holds releases: the root, or a product.

    Attributes:
        releases: every complete release, lowest first.
        firmwares: every firmware, lowest first.
        newest_release, newest_firmware: the highest one whose rank no other
            shares; None if there is none.
    """

    releases: tuple[Release, ...] = ()
    firmwares: tuple[Firmware, ...] = ()
    newest_release: Release | None = None
    newest_firmware: Firmware | None = None

    def release(self, version: str) -> Release | None:
        """Find the release that a device has.

        Args:
            version: what the device says it runs.

        Returns:
            The release of exactly this name, or else the one of equal rank; None
            if there is none, or several of equal rank to guess between.
        """
        for release in self.releases:
            if release.version == version:
                return release
        wanted = rank(version)
        equal = [release for release in self.releases if release.rank == wanted]
        return equal[0] if len(equal) == 1 else None


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of the tree.

    Attributes:
        path: where it is below the root; the root's own is empty.
        mtime_ns: when something was last added, removed or renamed in it, in
            nanoseconds since 1970.
        folders, files: what is in it, by name, in order.
        tree: the versions in it; None for a folder inside a release.
    """

    path: str
    mtime_ns: int
    folders: Mapping[str, "Folder"]
    files: Mapping[str, File]
    tree: ReleaseTree | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def mtime_s(self) -> int:
        """When something was last added, removed or renamed; see `shown_s`."""
        return shown_s(self.mtime_ns)

    def walk(self) -> Iterator[File]:
        """Iterate over every file in this folder and below it."""
        yield from self.files.values()
        for folder in self.folders.values():
            yield from folder.walk()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A picture of a whole release tree.

    Attributes:
        root: the folder that is served.
        problems: what is wrong with the tree, a sentence each.
        unsettled: whether something was left out, or kept as it was before,
            because it may still be changing.
    """

    root: Folder
    problems: tuple[str, ...] = ()
    unsettled: bool = False

    def find(self, parts: Iterable[str]) -> File | Folder | None:
        """Look up a path.

        Args:
            parts: the names on the way from the root.

        Returns:
            The file or folder; None if there is none.
        """
        entry: File | Folder | None = self.root
        for part in parts:
            if not isinstance(entry, Folder):
                return None
            entry = entry.folders.get(part) or entry.files.get(part)
        return entry
