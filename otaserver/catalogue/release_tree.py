"""Sorting a folder's releases and firmware by version, and finding what each device gets."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol, TypeVar

from otaserver.catalogue.model import (
    FilesByDevicePath,
    Firmware,
    Folder,
    Release,
    ReleaseTree,
    listing,
)
from otaserver.catalogue.problems import Problem, Weight
from otaserver.catalogue.release_rules import Breach, step_breach
from otaserver.catalogue.versions import Rank, rank_of_name

# So many of the versions that share a problem are named.
_MAX_NAMED = 5


class _Ranked(Protocol):
    @property
    def version(self) -> str: ...
    @property
    def rank(self) -> Rank: ...
    @property
    def problems(self) -> tuple[Problem, ...]: ...


_R = TypeVar("_R", bound=_Ranked)


def release_of(folder: Folder) -> Release:
    """Build the release that a folder holds.

    Args:
        folder: a folder whose name is a version.

    Returns:
        The release, with its files by their path on the device.
    """
    files = FilesByDevicePath(folder)
    start = len(folder.prefix)
    with_files = {file.folder[start:] for file in folder.walk()} - {""}
    folders = frozenset(
        path[:end]
        for path in with_files
        for end in range(1, len(path) + 1)
        if path[end : end + 1] in ("/", "")
    )
    return Release(
        folder.name,
        rank_of_name(folder.name),
        files,
        folders,
        hashlib.sha256(listing(files).encode()).hexdigest(),
        mtime_s=max([folder.mtime_s, *(file.mtime_s for file in folder.walk())]),
    )


def release_tree(
    releases: Iterable[Release], firmwares: Iterable[Firmware], path: str = ""
) -> ReleaseTree:
    """Sort the versions of one release tree.

    Args:
        releases: its complete releases.
        firmwares: its firmware images.
        path: the path of its folder, relative to the root.

    Returns:
        The sorted versions, what is offered of them, and why the rest is not.
    """
    ordered_releases = _in_order(releases)
    ordered_firmwares = _in_order(firmwares)
    offered = _offered(ordered_releases)
    firmware = _offered(ordered_firmwares)
    tree = ReleaseTree(
        ordered_releases,
        ordered_firmwares,
        offered[-1] if offered else None,
        firmware[-1] if firmware else None,
        MappingProxyType(_steps(ordered_releases, offered)),
    )
    return replace(tree, problems=tuple(_problems(path, tree)))


def _problems(path: str, tree: ReleaseTree) -> list[Problem]:
    """List what keeps something in a release tree from being offered."""
    problems = [problem for items in (tree.releases, tree.firmwares) for problem in _of(items)]
    for names in equal_versions(tree):
        problems.append(
            Problem(
                Weight.NOT_OFFERED,
                path,
                f"has versions of equal rank, {' and '.join(names)}, and offers none of them",
                "keep one",
            )
        )
    problems += _step_problems(path, tree)
    return problems


def _step_problems(path: str, tree: ReleaseTree) -> Iterator[Problem]:
    """Say which devices can't take the newest release, once for each file that is in the way."""
    newest = tree.newest_release
    groups: defaultdict[tuple[str, str | None], list[tuple[str, Breach]]] = defaultdict(list)
    for version, instead in tree.steps.items():
        old = tree.release(version)
        breach = step_breach(old, newest) if old is not None and newest is not None else None
        if breach is not None:
            groups[breach.path, instead.version if instead else None].append((version, breach))
    for (_, gets), group in groups.items():
        assert newest is not None
        breach = group[-1][1]
        # The highest: most devices are on these.
        *named, last = [version for version, _ in group[-_MAX_NAMED:]]
        if len(group) > _MAX_NAMED:
            named, last = [*named, last], f"{len(group) - _MAX_NAMED} more"
        versions = f"{', '.join(named)} and {last}" if named else last
        where = "/".join(part for part in (path, newest.version, breach.path) if part)
        what = (
            f"{breach.what}; {newest.version} is not offered to devices on {versions}, "
            f"which get {gets or 'nothing'}"
        )
        yield Problem(Weight.NOT_OFFERED, where, what, breach.remedy)


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


def _of(items: Iterable[_R]) -> Iterable[Problem]:
    return (problem for item in items for problem in item.problems)


def _in_order(items: Iterable[_R]) -> tuple[_R, ...]:
    return tuple(sorted(items, key=lambda item: (item.rank, item.version)))


def _by_rank(items: Iterable[_R]) -> list[list[_R]]:
    groups: defaultdict[Rank, list[_R]] = defaultdict(list)
    for item in items:
        groups[item.rank].append(item)
    return list(groups.values())


def _offered(ordered: tuple[_R, ...]) -> list[_R]:
    """Those without a problem, and whose rank no other shares: equal ones are ambiguous."""
    unique = [group[0] for group in _by_rank(ordered) if len(group) == 1]
    return [item for item in unique if not item.problems]


def _steps(releases: Iterable[Release], offered: list[Release]) -> Mapping[str, Release | None]:
    """Find the releases from which the newest can't be reached in one step."""
    steps = {}
    for old in releases:
        above = [release for release in reversed(offered) if release.rank > old.rank]
        if above and step_breach(old, above[0]) is not None:
            others = (release for release in above[1:] if step_breach(old, release) is None)
            steps[old.version] = next(others, None)
    return steps
