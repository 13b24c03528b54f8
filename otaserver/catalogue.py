"""An immutable picture of a release tree at one moment.

Only what stands in a catalogue is ever served, so nothing outside the tree,
hidden in it, or linked out of it can be reached through any protocol.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from otaserver.versions import Rank, is_version_name, rank

MANIFEST_NAME = "manifest.json"

_FIRMWARE_NAME = re.compile(r"firmware_(?P<version>.+)\.bin", re.DOTALL)


# From the year 1 to the year 9999.
_FIRST_DATE_S, _LAST_DATE_S = -62_135_596_800, 253_402_300_799


def shown_s(time_ns: int) -> int:
    """Make a time of a file one that every protocol can write.

    Args:
        time_ns: in nanoseconds since 1970; file systems can stamp with any.

    Returns:
        Whole seconds since 1970, in a year of four digits.
    """
    return min(max(time_ns // 1_000_000_000, _FIRST_DATE_S), _LAST_DATE_S)


class Stamp(NamedTuple):
    """What tells one content of a file from another without reading it.

    Attributes:
        device, inode: which file it is.
        size_bytes: its length.
        mtime_ns, ctime_ns: when its content, and anything about it, last
            changed, in nanoseconds since 1970.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class File:
    """One file that may be served.

    Attributes:
        path: where it is below the root, parted by ``/``, without a leading one.
        stamp: what the file looked like when it was hashed.
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
        rank: where the version stands among others.
        files: the files by their path on the device (``flash/main.py``), in order.
    """

    version: str
    rank: Rank
    files: Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Firmware:
    """A complete application image.

    Attributes:
        version: what stands between ``firmware_`` and ``.bin`` in the name.
        rank: where the version stands among others.
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
        newest_release, newest_firmware: the highest one that shares its rank
            with no other; None where there is none.
    """

    releases: tuple[Release, ...] = ()
    firmwares: tuple[Firmware, ...] = ()
    newest_release: Release | None = None
    newest_firmware: Firmware | None = None

    def release(self, version: str) -> Release | None:
        """Find the release that a device of this version was given.

        Args:
            version: what the device says it runs. A name on disk goes before
                one of equal rank; of several equal ones none is guessed.
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
        mtime_ns: when its listing last changed, in nanoseconds since 1970.
        folders, files: what is in it, by name, in order.
        tree: the releases in it, where it is a release tree; a folder inside a
            release is none.
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
        """When the listing changed; see `shown_s`."""
        return shown_s(self.mtime_ns)

    def walk(self) -> Iterator[File]:
        """Go through every file in this folder and below it."""
        yield from self.files.values()
        for folder in self.folders.values():
            yield from folder.walk()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A picture of a whole release tree.

    Attributes:
        root: the folder that is served.
        problems: what is wrong with the tree, a sentence each.
        unsettled: whether something was left out, or shown as it was before,
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
            The file or folder, or None where the catalogue has none.
        """
        entry: File | Folder | None = self.root
        for part in parts:
            if not isinstance(entry, Folder):
                return None
            entry = entry.folders.get(part) or entry.files.get(part)
        return entry


class _Ranked(Protocol):
    @property
    def version(self) -> str: ...
    @property
    def rank(self) -> Rank: ...


_R = TypeVar("_R", bound=_Ranked)


def firmware_version(name: str) -> str | None:
    """Read the version out of a firmware's file name.

    Args:
        name: a file name.

    Returns:
        ``1.0.1`` for ``firmware_1.0.1.bin``; None for a file that is no firmware.
    """
    match = _FIRMWARE_NAME.fullmatch(name)
    if match is None or not is_version_name(match["version"]):
        return None
    return match["version"]


def release_of(folder: Folder) -> Release:
    """Read a release out of its folder.

    Args:
        folder: a folder in a release tree, named by a version.
    """
    inside = len(folder.path) + 1
    files = {file.path[inside:]: file for file in folder.walk()}
    ordered = MappingProxyType(dict(sorted(files.items())))
    return Release(folder.name, rank(folder.name), ordered)


def release_tree(releases: Iterable[Release], files: Mapping[str, File]) -> ReleaseTree:
    """Put the versions of one release tree in order.

    Args:
        releases: its complete releases.
        files: the files that stand beside them, by name.
    """
    firmwares = [
        Firmware(version, rank(version), file)
        for name, file in files.items()
        if (version := firmware_version(name)) is not None
    ]
    ordered_releases = _in_order(releases)
    ordered_firmwares = _in_order(firmwares)
    return ReleaseTree(
        ordered_releases,
        ordered_firmwares,
        _newest(ordered_releases),
        _newest(ordered_firmwares),
    )


def equal_versions(tree: ReleaseTree) -> list[tuple[str, ...]]:
    """List the versions that can't be told apart by rank.

    Returns:
        The names on disk, such as ``("1.0", "1.0.0")``, a tuple for each rank
        that several releases, or several firmwares, share.
    """
    return [
        tuple(sorted(item.version for item in group))
        for items in (tree.releases, tree.firmwares)
        for group in _by_rank(items)
        if len(group) > 1
    ]


def _in_order(items: Iterable[_R]) -> tuple[_R, ...]:
    return tuple(sorted(items, key=lambda item: (item.rank, item.version)))


def _by_rank(items: Iterable[_R]) -> list[list[_R]]:
    groups: defaultdict[Rank, list[_R]] = defaultdict(list)
    for item in items:
        groups[item.rank].append(item)
    return list(groups.values())


def _newest(ordered: tuple[_R, ...]) -> _R | None:
    """The last that shares its rank with no other: equal ones are not guessed between."""
    unique = [group[0] for group in _by_rank(ordered) if len(group) == 1]
    return unique[-1] if unique else None
