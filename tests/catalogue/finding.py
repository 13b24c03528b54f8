"""What a test knows to be in a catalogue, as what it is."""

from otaserver.catalogue.model import Catalogue, File, Firmware, Folder, Release, ReleaseTree


def file_at(catalogue: Catalogue, *names: str) -> File:
    found = catalogue.find(names)
    assert isinstance(found, File), names
    return found


def folder_at(catalogue: Catalogue, *names: str) -> Folder:
    found = catalogue.find(names)
    assert isinstance(found, Folder), names
    return found


def tree_at(catalogue: Catalogue, *names: str) -> ReleaseTree:
    tree = folder_at(catalogue, *names).tree
    assert tree is not None, names
    return tree


def firmware_of(catalogue: Catalogue) -> Firmware:
    """The newest firmware at the root."""
    newest = tree_at(catalogue).newest_firmware
    assert newest is not None
    return newest


def version_of(found: Release | Firmware | None) -> str | None:
    return found.version if found else None


def paths(catalogue: Catalogue) -> set[str]:
    """The paths of all files."""
    return {file.path for file in catalogue.root.walk()}


def offered(catalogue: Catalogue, *product: str) -> str | None:
    """The version of the release that is offered."""
    return version_of(tree_at(catalogue, *product).newest_release)
