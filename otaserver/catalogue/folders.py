"""Folders of the catalogue: building them, and reusing those that have not changed."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from otaserver.catalogue.model import File, Folder, Release, ReleaseTree
from otaserver.catalogue.walk import WalkedFolder


def are_same(items: Iterable[object], others: Iterable[object]) -> bool:
    """Tell whether both are the same objects, in whatever order.

    Args:
        items: some objects.
        others: some others.

    Returns:
        Whether each of the ones is among the others.
    """
    return set(map(id, items)) == set(map(id, others))


def offered_paths(folder: Folder) -> Iterator[str]:
    """Iterate over the releases and firmware of a folder and of the products in it.

    Args:
        folder: a folder.

    Yields:
        The path of each, relative to the root.
    """
    if folder.tree is not None:
        for release in folder.tree.releases:
            yield folder.prefix + release.version
        for firmware in folder.tree.firmwares:
            yield firmware.file.path
        for inner in folder.folders.values():
            yield from offered_paths(inner)


def release_named(folder: Folder | None, version: str) -> Release | None:
    """Find a release in a folder.

    Args:
        folder: the folder; None for none.
        version: the name of the release.

    Returns:
        The release, if there is one.
    """
    releases = folder.tree.releases if folder and folder.tree else ()
    return next((release for release in releases if release.version == version), None)


def same_or_new(
    walked: WalkedFolder,
    folders: Mapping[str, Folder],
    files: Mapping[str, File],
    tree: ReleaseTree | None,
    previous: Folder | None,
) -> Folder:
    """Reuse the previous folder if nothing changed, so that its parents can be reused too.

    Args:
        walked: the folder as it is on disk.
        folders: its subfolders.
        files: its files.
        tree: the versions in it; None for a folder inside a release.
        previous: the folder in the previous catalogue.

    Returns:
        The previous folder, or a new one.
    """
    if (
        previous is not None
        and previous.mtime_ns == walked.mtime_ns
        and previous.folders == folders
        and previous.files == files
        and previous.tree == tree
    ):
        return previous
    return Folder(
        walked.path,
        walked.mtime_ns,
        MappingProxyType(dict(folders)),
        MappingProxyType(dict(files)),
        tree,
    )
