"""An immutable snapshot of a release tree.

Only what is in a catalogue is ever served, so nothing that is hidden, outside the
tree, or linked from outside can be reached through any protocol.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from otaserver.catalogue.problems import Problem
from otaserver.catalogue.stamps import PACKED_BYTES, Stamp
from otaserver.catalogue.versions import Rank, rank

MANIFEST_NAME = "manifest.json"

# Behind a packed stamp.
_SHA1_END = PACKED_BYTES + 20

# From the year 1 to the year 9999.
_FIRST_DATE_S, _LAST_DATE_S = -62_135_596_800, 253_402_300_799


def shown_s(time_ns: int) -> int:
    """Clamp a file's time to the range that every protocol can express.

    Args:
        time_ns: the time in nanoseconds since 1970; file systems allow any value.

    Returns:
        Whole seconds since 1970, in a year with at most four digits.
    """
    return min(max(time_ns // 1_000_000_000, _FIRST_DATE_S), _LAST_DATE_S)


@dataclass(frozen=True, slots=True, init=False)
class File:
    """One file that may be served.

    A large tree has hundreds of thousands, so what is known of each is packed.

    Args:
        path: its path relative to the root, separated by ``/``.
        stamp: its stamp when it was hashed.
        sha1: its SHA-1, in lower-case hexadecimal.
        sha256: its SHA-256, in lower-case hexadecimal.

    Attributes:
        folder: the path of its folder.
        name: the last part of its path.
    """

    folder: str
    name: str
    _packed: bytes

    def __init__(self, path: str, stamp: Stamp, sha1: str, sha256: str) -> None:
        folder, _, name = path.rpartition("/")
        # All files of a folder share its path.
        object.__setattr__(self, "folder", sys.intern(folder))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_packed", stamp.packed() + bytes.fromhex(sha1 + sha256))

    @property
    def path(self) -> str:
        """Its path relative to the root, separated by ``/``."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def stamp(self) -> Stamp:
        """Its stamp when it was hashed."""
        return Stamp.unpacked(self._packed)

    @property
    def sha1(self) -> str:
        """Its SHA-1, in lower-case hexadecimal."""
        return self._packed[PACKED_BYTES:_SHA1_END].hex()

    @property
    def sha256(self) -> str:
        """Its SHA-256, in lower-case hexadecimal."""
        return self._packed[_SHA1_END:].hex()

    @property
    def size_bytes(self) -> int:
        """The size of the file, in bytes."""
        return self.stamp.size_bytes

    @property
    def mtime_s(self) -> int:
        """When the content last changed, in seconds since 1970. See `shown_s`."""
        return shown_s(self.stamp.mtime_ns)


def listing(files: Mapping[str, File]) -> str:
    """Write down the content of a release; the SHA-256 of this is its content id.

    Args:
        files: its files by their path on the device, sorted.

    Returns:
        A ``HASH  path`` line for each, as ``sha256sum`` writes them.
    """
    return "".join(f"{file.sha256}  {path}\n" for path, file in files.items())


@dataclass(frozen=True, slots=True)
class Release:
    """A device's whole file system at one version.

    Attributes:
        version: the name of its folder.
        rank: the version's place among all versions.
        files: the files by their path on the device, such as ``flash/main.py``, sorted.
        folders: the paths of the folders that these are in.
        content_id: the SHA-256 of its sorted ``HASH  path`` lines, in hexadecimal: what
            tells two contents of one version apart.
        starts_recovery: whether its ``boot.py`` starts the device library's recovery.
        mtime_s: when it last changed, in seconds since 1970: its folder, or a file in it.
        refused_paths: the paths of files that devices refuse to touch. One that has the
            release got it in another way; asked to delete one of them, it would refuse
            every update.
        problems: what keeps it from being offered.
    """

    version: str
    rank: Rank
    files: Mapping[str, File]
    folders: frozenset[str] = frozenset()
    content_id: str = ""
    starts_recovery: bool = False
    mtime_s: int = 0
    refused_paths: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Firmware:
    """A complete application image.

    Attributes:
        version: the part of the name between ``firmware_`` and ``.bin``.
        rank: the version's place among all versions.
        file: the image.
        problems: what keeps it from being offered.
    """

    version: str
    rank: Rank
    file: File
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseTree:
    """The versions in a folder that holds releases: the root, or a product's folder.

    Attributes:
        releases: all complete releases, lowest version first.
        firmwares: all firmware images, lowest version first.
        newest_release: the highest release that is offered: no other release shares its
            rank, and no problem is known of it. None if there is none.
        newest_firmware: the same for firmware.
        steps: what devices get that can't take the newest release in one step, by the
            version that they have: a lower release, or None for nothing.
        problems: what keeps something in it from being offered.
    """

    releases: tuple[Release, ...] = ()
    firmwares: tuple[Firmware, ...] = ()
    newest_release: Release | None = None
    newest_firmware: Firmware | None = None
    steps: Mapping[str, Release | None] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[Problem, ...] = ()

    def release(self, version: str) -> Release | None:
        """Find the release that a device runs.

        Args:
            version: the version that the device reports.

        Returns:
            The release with exactly this name, or else the only one of equal rank;
            None if there is none, or if several are of equal rank.
        """
        for release in self.releases:
            if release.version == version:
                return release
        wanted = rank(version)
        if wanted is None:
            return None
        equal = [release for release in self.releases if release.rank == wanted]
        return equal[0] if len(equal) == 1 else None


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of the tree.

    Attributes:
        path: its path relative to the root; empty for the root itself.
        mtime_ns: when something was last added, removed or renamed in it, in
            nanoseconds since 1970.
        folders: its subfolders by name, sorted.
        files: its files by name, sorted.
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
        """When something was last added, removed or renamed, in seconds since 1970.

        See `shown_s`.
        """
        return shown_s(self.mtime_ns)

    @property
    def prefix(self) -> str:
        """What the paths of everything in the folder begin with."""
        return f"{self.path}/" if self.path else ""

    def is_empty(self) -> bool:
        """Tell whether nothing is in the folder.

        Returns:
            Whether it has neither files nor subfolders.
        """
        return not (self.files or self.folders)

    def walk(self) -> Iterator[File]:
        """Iterate over all files in this folder and its subfolders, at any depth.

        Yields:
            Each file.
        """
        yield from self.files.values()
        for folder in self.folders.values():
            yield from folder.walk()


class FilesByDevicePath(Mapping[str, File]):
    """The files of a release by their path on the device, sorted.

    It makes the paths as they are needed, and looks them up in the folders: a dictionary of
    its own would take a third of the memory of a large catalogue.

    Args:
        folder: the release's folder.
    """

    __slots__ = ("_files", "_folder")

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._files = tuple(sorted(folder.walk(), key=lambda file: file.path))

    def __getitem__(self, path: str) -> File:
        """Look up a file."""
        *names, name = path.split("/")
        folder = self._folder
        for folder_name in names:
            folder = folder.folders[folder_name]
        return folder.files[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the paths on the device, sorted."""
        start = len(self._folder.prefix)
        return (file.path[start:] for file in self._files)

    def __len__(self) -> int:
        """Count the files."""
        return len(self._files)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A snapshot of a whole release tree.

    Attributes:
        root: the root folder.
        problems: what is wrong with the tree, the gravest first.
        unsettled: whether something was left out, or kept as it was before,
            because it may still be changing.
        away: the paths of folders that are as they were before, because what they are on
            is not there at the moment; empty for the root.
    """

    root: Folder
    problems: tuple[Problem, ...] = ()
    unsettled: bool = False
    away: tuple[str, ...] = ()

    def is_away(self, parts: Iterable[str]) -> bool:
        """Tell whether a path is on something that is not there at the moment.

        Args:
            parts: the names along the path from the root.

        Returns:
            Whether it is in a folder that is away, or is one.
        """
        if not self.away:
            return False
        path = "".join(f"{part}/" for part in parts)
        return any(not folder or path.startswith(f"{folder}/") for folder in self.away)

    def find(self, parts: Iterable[str]) -> File | Folder | None:
        """Look up a path.

        Args:
            parts: the names along the path from the root.

        Returns:
            The file or folder; None if the path does not exist.
        """
        entry: File | Folder | None = self.root
        for part in parts:
            if not isinstance(entry, Folder):
                return None
            entry = entry.folders.get(part) or entry.files.get(part)
        return entry
