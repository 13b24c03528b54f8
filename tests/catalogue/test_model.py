from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.model import File, Firmware, Folder, Release, ReleaseTree
from otaserver.catalogue.names import firmware_version
from otaserver.catalogue.release_tree import equal_versions, release_tree
from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.versions import rank_of_name as rank
from otaserver.http.conditions import http_date
from otaserver.http.folder_page import folder_page
from otaserver.service import FolderView
from tests.catalogue.finding import file_at, version_of
from tests.support.trees import scanned, write_tree

STAMP = Stamp(2, 3, 1_999_999_999, 5)


def release(version: str) -> Release:
    return Release(version, rank(version), MappingProxyType({}))


def tree_of(*versions: str, firmwares: tuple[str, ...] = ()) -> ReleaseTree:
    images = [
        Firmware(version, rank(version), File(f"firmware_{version}.bin", STAMP, "", ""))
        for version in firmwares
    ]
    return release_tree(map(release, versions), images)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("firmware_1.0.1.bin", "1.0.1"),
        ("firmware_v2.bin", "v2"),
        ("firmware_1_x.bin", "1_x"),
        ("firmware_1.bin.bin", "1.bin"),
        ("firmware_.bin", None),
        ("firmware_beta.bin", None),
        ("firmware_1.0.1.bin.part", None),
        ("firmware_1.0.1", None),
        ("Firmware_1.0.1.bin", None),
        ("xfirmware_1.0.1.bin", None),
    ],
)
def test_a_firmware_is_known_by_its_name(name: str, version: "str | None") -> None:
    assert firmware_version(name) == version


def test_versions_are_put_in_order_and_the_highest_is_the_newest() -> None:
    tree = tree_of("10.0", "9.0", "1-loose", firmwares=("2.0", "10.0rc1"))
    assert [release.version for release in tree.releases] == ["1-loose", "9.0", "10.0"]
    assert version_of(tree.newest_release) == "10.0"
    assert version_of(tree.newest_firmware) == "10.0rc1"


def test_two_names_of_equal_rank_are_reported_and_not_offered() -> None:
    tree = tree_of("1.0", "2.0", "2.0.0", "v2", firmwares=("3", "3.0"))
    assert version_of(tree.newest_release) == "1.0"
    assert tree.newest_firmware is None
    assert equal_versions(tree) == [("2.0", "2.0.0", "v2"), ("3", "3.0")]


def test_a_tree_without_versions_offers_nothing() -> None:
    assert tree_of() == ReleaseTree()


def test_a_device_s_release_is_found_by_name_and_then_by_rank() -> None:
    tree = tree_of("1.0", "2.0", "2.0.0")
    assert version_of(tree.release("1.0")) == "1.0"
    assert version_of(tree.release("v1")) == "1.0"
    assert version_of(tree.release("2.0.0")) == "2.0.0"
    assert tree.release("2") is None
    assert tree.release("3") is None
    assert tree.release("²") is None


@given(st.lists(st.sampled_from(["1", "1.0", "v1", "2", "2.0", "3-x", "3.x", "4"]), unique=True))
def test_what_is_offered_shares_its_rank_with_nothing(versions: list[str]) -> None:
    newest = tree_of(*versions).newest_release
    if newest is not None:
        assert [rank(v) for v in versions].count(newest.rank) == 1
    for version in versions:
        if newest is None or rank(version) > newest.rank:
            assert [rank(v) for v in versions].count(rank(version)) > 1


def test_files_and_folders_are_found_by_their_names(small_tree: Path) -> None:
    catalogue = scanned(small_tree)
    assert catalogue.find(()) is catalogue.root
    assert file_at(catalogue, "1.0.0", "flash", "main.py").path == "1.0.0/flash/main.py"
    assert isinstance(catalogue.find(("1.0.0", "flash")), Folder)
    assert catalogue.find(("1.0.0", "flash", "main.py", "x")) is None
    assert catalogue.find(("1.0.0", "nothing")) is None
    assert catalogue.find(("",)) is None


def test_a_picture_can_not_be_changed(small_tree: Path) -> None:
    # Any, because the checker of types would refuse all of these.
    root: Any = scanned(small_tree).root
    with pytest.raises(TypeError):
        root.files["x"] = None
    with pytest.raises(TypeError):
        root.folders["x"] = None
    with pytest.raises(TypeError):
        root.tree.releases[0].files["x"] = None
    with pytest.raises(AttributeError):
        root.tree = None


def test_a_time_is_told_in_whole_seconds_rounded_down() -> None:
    assert File("a", STAMP, "", "").mtime_s == 1


@pytest.mark.parametrize("seconds", [-(10**12), -1, 0, 253402300799, 253402300800, 10**18])
def test_any_time_that_a_file_may_have_can_be_written(seconds: int) -> None:
    file = File("a", STAMP._replace(mtime_ns=seconds * 10**9), "", "")
    assert len(http_date(file.mtime_s)) == len("Sun, 06 Nov 1994 08:49:37 GMT")
    inner = Folder("", seconds * 10**9, {}, {"a": file}, None)
    folder = Folder("", 0, {"b": inner}, {"a": file}, None)
    assert b"<td>" in folder_page(FolderView(folder, folder))


def test_every_file_is_walked_over_once(root: Path) -> None:
    files = {"1/a": b"", "1/b/c": b"", "p/2/d": b"", "p/q/3/e": b"", "loose": b""}
    write_tree(root, files)
    assert sorted(file.path for file in scanned(root).root.walk()) == sorted(files)
