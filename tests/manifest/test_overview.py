"""The overview says what each device's offer says."""

from pathlib import Path

from otaserver.catalogue.model import Folder
from otaserver.manifest.offer import offer
from otaserver.manifest.overview import ProductOverview, overview
from otaserver.manifest.update_request import UpdateRequest
from tests.catalogue.finding import version_of
from tests.support.trees import scanned, write_tree

# 0.7 and 0.8 have files where all newer releases have folders.
STEPS = {
    "0.7/flash/x": b"",
    "0.8/flash/x": b"",
    "0.9/flash/lib": b"",
    "1.0/flash/x/y": b"",
    "1.1/flash/lib/a.py": b"12",
    "1.1/flash/x/y": b"345",
    "1.2/main.py": b"",
    "firmware_1.0.bin": b"\xe9",
    "firmware_2.0.bin": b"\xe9",
    "firmware_2.bin": b"\xe9",
}


def only(root: Path) -> ProductOverview:
    (product,) = overview(scanned(root))
    return product


def test_what_is_offered_and_to_whom(root: Path) -> None:
    product = only(write_tree(root, STEPS))
    assert (product.path, version_of(product.release)) == ("", "1.1")
    assert {version: version_of(other) for version, other in product.detours.items()} == {
        "0.7": "0.9",
        "0.8": "0.9",
        "0.9": "1.0",
    }
    assert product.releases_above == ("1.2",)
    assert product.firmwares_above == ("2", "2.0")


def test_it_is_what_the_devices_are_offered(root: Path) -> None:
    catalogue = scanned(write_tree(root, STEPS))
    (product,) = overview(catalogue)
    tree = catalogue.root.tree
    assert tree is not None
    for release in tree.releases:
        version = release.version
        expected = product.detours.get(version, product.release)
        if version in product.releases_above or version == version_of(product.release):
            expected = None
        assert offer(tree, UpdateRequest(version)).release is expected, version
    assert offer(tree, UpdateRequest(None)).release is product.release


def test_each_product_is_there_but_no_folder_of_products_alone(root: Path) -> None:
    catalogue = scanned(
        write_tree(root, {"a/1.0/flash/x": b"", "a/b/2.0/flash/x": b"", "group/c/note": b""})
    )
    assert [product.path for product in overview(catalogue)] == ["a", "a/b", "group/c"]


def test_an_empty_tree_is_a_product_that_offers_nothing(root: Path) -> None:
    product = only(root)
    assert (product.path, product.release, product.firmware) == ("", None, None)


def test_what_is_inside_a_release_is_no_product(root: Path) -> None:
    catalogue = scanned(write_tree(root, {"1.0/flash/lib/a.py": b""}))
    assert isinstance(catalogue.find(["1.0", "flash"]), Folder)
    assert [product.path for product in overview(catalogue)] == [""]
