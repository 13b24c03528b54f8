"""Sorting a folder's releases and firmware by version."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

from otaserver.catalogue.model import File, Firmware, Folder, Release, ReleaseTree
from otaserver.catalogue.versions import Rank, is_version_name, rank_of_name

_FIRMWARE_NAME = re.compile(r"firmware_(?P<version>.+)\.bin", re.DOTALL)


class _Ranked(Protocol):
    @property
    def version(self) -> str: ...
    @property
    def rank(self) -> Rank: ...


_R = TypeVar("_R", bound=_Ranked)


def firmware_version(name: str) -> str | None:
    """Extract the version from the file name of a firmware image.

    Args:
        name: a file name.

    Returns:
        ``1.0.1`` for ``firmware_1.0.1.bin``; None if it is not a firmware image.
    """
    match = _FIRMWARE_NAME.fullmatch(name)
    if match is None or not is_version_name(match["version"]):
        return None
    return match["version"]


def release_of(folder: Folder) -> Release:
    """Build the release that a folder holds.

    Args:
        folder: a folder whose name is a version.

    Returns:
        The release, with its files by their path on the device.
    """
    inside = len(folder.path) + 1
    files = {file.path[inside:]: file for file in folder.walk()}
    ordered = MappingProxyType(dict(sorted(files.items())))
    return Release(folder.name, rank_of_name(folder.name), ordered)


def release_tree(releases: Iterable[Release], files: Mapping[str, File]) -> ReleaseTree:
    """Sort the versions of one release tree.

    Args:
        releases: its complete releases.
        files: the files next to them, by name; those named like firmware are used.

    Returns:
        The sorted versions, and the newest ones.
    """
    firmwares = [
        Firmware(version, rank_of_name(version), file)
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
    """List the versions that are of equal rank.

    Args:
        tree: the versions of one folder.

    Returns:
        For each rank shared by several releases, or by several firmware images, their
        versions, such as ``("1.0", "1.0.0")``.
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
    """Return the highest whose rank no other shares: equal ones are ambiguous."""
    unique = [group[0] for group in _by_rank(ordered) if len(group) == 1]
    return unique[-1] if unique else None
