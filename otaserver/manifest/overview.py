"""Who is offered what, for all devices at once: an overview of a whole catalogue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from otaserver.catalogue.model import Catalogue, Firmware, Folder, Release, ReleaseTree


@dataclass(frozen=True, slots=True)
class ProductOverview:
    """What the devices of one product are offered.

    Devices below `release`, and those that report no version that can be read, get it,
    except for those in `detours`. The same holds for `firmware`, without exceptions.

    Attributes:
        path: the product's folder, relative to the root; empty for the root itself.
        release: the release that is offered, if any.
        firmware: the firmware that is offered, if any.
        detours: what devices get that are below the release and can't take it in one
            step, by the version that they have: a lower release, or None for nothing.
        releases_above: versions in the tree above the release, none of which is offered.
            Devices on one of them get no release.
        firmwares_above: the same for firmware.
    """

    path: str
    release: Release | None
    firmware: Firmware | None
    detours: Mapping[str, Release | None]
    releases_above: tuple[str, ...]
    firmwares_above: tuple[str, ...]


def overview(catalogue: Catalogue) -> Iterator[ProductOverview]:
    """Summarize what every product offers.

    Args:
        catalogue: the whole tree.

    Yields:
        Each product, and first the root. Folders that have products in them, but no
        versions of their own, are passed over.
    """
    yield from _products(catalogue.root)


def _products(folder: Folder) -> Iterator[ProductOverview]:
    if folder.tree is None:
        return
    inner = [inside for inside in folder.folders.values() if inside.tree is not None]
    if folder.tree.releases or folder.tree.firmwares or not inner:
        yield _product(folder.path, folder.tree)
    for inside in inner:
        yield from _products(inside)


def _product(path: str, tree: ReleaseTree) -> ProductOverview:
    release, firmware = tree.newest_release, tree.newest_firmware
    return ProductOverview(
        path,
        release,
        firmware,
        tree.steps,
        tuple(r.version for r in tree.releases if release is None or r.rank > release.rank),
        tuple(f.version for f in tree.firmwares if firmware is None or f.rank > firmware.rank),
    )
