"""What is not offered because it is unfinished, incomplete, or has the wrong name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import otaserver.catalogue.scan
from otaserver.catalogue import hashing
from otaserver.catalogue.hashing import Hashes
from otaserver.catalogue.problems import Weight
from otaserver.catalogue.stamps import FileChanged, Stamp
from otaserver.manifest.model import manifest_of
from otaserver.manifest.offer import offer
from otaserver.manifest.update_request import UpdateRequest
from tests.catalogue.finding import (
    file_at,
    firmware_of,
    folder_at,
    offered,
    paths,
    tree_at,
    version_of,
)
from tests.catalogue.test_scan import problem_about, problems, unprivileged
from tests.support.trees import rewrite, scanned, scanner, write_tree

# Uploads that have not come to their end

UNFINISHED = ["flash/lib/sensor.py.filepart", "flash/.in.sensor.py", "flash/.main.py.Ab12Cd"]


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_release_with_an_unfinished_upload_is_not_offered_until_it_is_finished(
    root: Path, name: str
) -> None:
    write_tree(root, {"1.0/flash/a.py": b"", "1.1/flash/a.py": b"", f"1.1/{name}": b"half"})
    one = scanner(root)
    first = one.scan()
    assert offered(first) == "1.0"
    assert first.unsettled
    assert first.find(("1.1",)) is None
    assert problems(first) == [
        f"1.1/{name} is an unfinished upload, and 1.1 is not offered as it is now: "
        "finish it, or delete the file"
    ]
    (root / "1.1" / name).rename(root / "1.1/flash/sensor.py")
    second = one.scan(first)
    assert offered(second) == "1.1"
    assert "1.1/flash/sensor.py" in paths(second)
    assert second.problems == ()


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_release_that_was_whole_stays_as_it_was_while_something_is_uploaded(
    root: Path, name: str
) -> None:
    write_tree(root, {"1.0/flash/a.py": b"", "1.1/flash/a.py": b"whole"})
    one = scanner(root)
    first = one.scan()
    rewrite(root / "1.1/flash/a.py", b"new")
    write_tree(root, {f"1.1/{name}": b"half"})
    second = one.scan(first)
    assert offered(second) == "1.1"
    assert second.find(("1.1",)) is first.find(("1.1",))
    (root / "1.1" / name).unlink()
    third = one.scan(second)
    assert file_at(third, "1.1", "flash", "a.py").size_bytes == 3
    assert third.problems == ()


def test_uploads_beside_releases_are_not_part_of_the_tree(root: Path) -> None:
    write_tree(root, {"1.0/flash/a.py": b"", "1.1.tmp/flash/a.py": b"", "x.bin.filepart": b""})
    catalogue = scanned(root)
    assert paths(catalogue) == {"1.0/flash/a.py"}
    assert catalogue.problems == ()


# Links whose target is away for a moment


def linked(root: Path) -> Path:
    """A release with a link, and what that leads to."""
    write_tree(root, {"1.0/flash/a.py": b"", "1.1/flash/a.py": b"", "common/lib.py": b""})
    (root / "1.0/flash/lib.py").symlink_to("../../common/lib.py")
    (root / "1.1/flash/lib.py").symlink_to("../../common/lib.py")
    return root / "common/lib.py"


def test_a_link_whose_target_goes_away_never_becomes_a_delete(root: Path) -> None:
    target = linked(root)
    (root / "1.0/flash/lib.py").unlink()
    write_tree(root, {"1.0/flash/lib.py": b""})
    one = scanner(root)
    first = one.scan()
    target.rename(root / "away.py")
    second = one.scan(first)
    assert offered(second) == "1.0"
    assert "is a link to something that is not there" in problem_about(second, "1.1/flash/lib.py")
    assert version_of(tree_at(second).release("1.1")) is None
    (root / "away.py").rename(target)
    third = one.scan(second)
    assert offered(third) == "1.1"
    assert third.problems == ()


def test_a_release_that_a_device_has_is_not_compared_while_a_link_in_it_dangles(
    root: Path,
) -> None:
    target = linked(root)
    (root / "1.1/flash/lib.py").unlink()
    target.unlink()
    catalogue = scanned(root)
    assert offered(catalogue) == "1.1"
    manifest = manifest_of(offer(tree_at(catalogue), UpdateRequest("1.0", None)))
    assert manifest is not None
    assert manifest.delete == ()


def test_a_link_whose_target_can_t_be_read_for_a_moment(root: Path, tmp_path: Path) -> None:
    linked(root)
    (root / "common").chmod(0)
    with unprivileged(tmp_path):
        catalogue = scanned(root)
    (root / "common").chmod(0o755)
    assert offered(catalogue) is None
    assert "Permission denied" in problem_about(catalogue, "1.1/flash/lib.py")


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("1.1", Weight.NOT_OFFERED),
        ("p/firmware_1.1.bin", Weight.NOT_OFFERED),
        ("1.0/flash/1.1", Weight.LEFT_OUT),
        ("shared", Weight.LEFT_OUT),
    ],
)
@pytest.mark.parametrize("target", ["away", "/etc/passwd", None])
def test_what_is_left_out_weighs_more_if_it_was_to_be_offered(
    root: Path, name: str, weight: Weight, target: str | None
) -> None:
    write_tree(root, {"1.0/flash/a": b"", "p/1.0/flash/a": b""})
    if target is None:
        os.mkfifo(root / name)
    else:
        (root / name).symlink_to(target)
    found = [problem for problem in scanned(root).problems if problem.path == name]
    assert [problem.weight for problem in found] == [weight]


# Names that were meant to be others


LIKE_A_RELEASE = "has a folder {} like a release, but its name is no version, and is not offered"
RENAME = "rename it, to {} for example, or move {} into a release"
NO_FIRMWARE = "is not offered, because its name is not that of firmware"
NO_VERSION = "has a version with a space, a quote or another unsafe character"
IN_NO_RELEASE = "is in no release, and is not offered"


@pytest.mark.parametrize(
    ("path", "what", "remedy"),
    [
        ("release_1.0.2/flash/a", LIKE_A_RELEASE.format("flash"), RENAME.format("1.0.2", "flash")),
        ("latest/sd/a", LIKE_A_RELEASE.format("sd"), RENAME.format("1.0.1", "sd")),
        ("p/flash/main.py", LIKE_A_RELEASE.format("flash"), RENAME.format("1.0.1", "flash")),
        ("flash/main.py", IN_NO_RELEASE, "move it into one, as 1.0.1/flash for example"),
        ("1.0.2 final/flash/a", NO_VERSION + ", and is not offered",
         "change the version, to 1.0.2-final for example"),
        ("1.0.1.zip", "is an archive, and is not offered", "unpack it, as 1.0.1"),
        ("firmware_1.0.1.zip", "is an archive, and is not offered",
         "unpack it, as firmware_1.0.1.bin"),
        ("firmware-1.0.4.bin", NO_FIRMWARE, "rename it to firmware_1.0.4.bin"),
        ("Firmware_1.0.3.bin", NO_FIRMWARE, "rename it to firmware_1.0.3.bin"),
        ("firmware_latest.bin", NO_FIRMWARE, "rename it to firmware_VERSION.bin"),
        ("app.bin", NO_FIRMWARE, "rename it to firmware_VERSION.bin"),
        ("firmware_1.0.4", NO_FIRMWARE, "rename it to firmware_1.0.4.bin"),
        ("firmware_1.0.4.bin/x", "has the name of firmware, but is a folder, and is not offered",
         "replace it by the file"),
        ("v1.0.1", "has the name of a release, but is a file, and is not offered",
         "delete it, or replace it by a folder"),
        ("boot.py", IN_NO_RELEASE, "move it into one, as 1.0.1/flash/boot.py for example"),
        ("release_1.0.2/main.py",
         "has a file main.py like a release, but its name is no version, and is not offered",
         "move what is in it to 1.0.2/flash for example"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("product", ["", "lopy4/"])
def test_names_that_are_none_are_pointed_out(
    root: Path, product: str, path: str, what: str, remedy: str
) -> None:
    write_tree(root, {f"{product}1.0.0/flash/a": b"", product + path: b"\xe9"})
    catalogue = scanned(root)
    where = product + path.partition("/")[0]
    assert problems(catalogue) == [f"{where} {what}: {remedy}"]
    assert offered(catalogue, *product.split("/")[:-1]) == "1.0.0"


def test_a_version_with_a_capital_v_is_one(root: Path) -> None:
    write_tree(root, {"1.0.0/flash/a": b"", "V1.0.1/flash/a": b"", "firmware_V1.0.1.bin": b"\xe9"})
    catalogue = scanned(root)
    assert offered(catalogue) == "V1.0.1"
    assert firmware_of(catalogue).version == "V1.0.1"
    assert catalogue.problems == ()


def test_a_product_with_a_stray_folder_is_still_one(root: Path) -> None:
    """A working copy lies beside its releases."""
    write_tree(root, {"lopy4/1.0/flash/a": b"", "lopy4/flash/a": b"", "sd/2.0/flash/a": b""})
    write_tree(root, {"flash/firmware_1.0.bin": b"\xe9"})
    catalogue = scanned(root)
    assert offered(catalogue, "lopy4") == "1.0"
    assert offered(catalogue, "sd") == "2.0"
    assert tree_at(catalogue, "flash").newest_firmware is not None
    assert [str(problem) for problem in catalogue.problems] == [
        "lopy4/flash is in no release, and is not offered: move it into one, as 1.0.1/flash for "
        "example"
    ]


def test_what_is_misnamed_is_served_file_by_file(root: Path) -> None:
    write_tree(root, {"latest/flash/lib/a.py": b"", "latest/flash/main.py": b""})
    one = scanner(root)
    first = one.scan()
    assert paths(first) == {"latest/flash/lib/a.py", "latest/flash/main.py"}
    assert folder_at(first, "latest").tree is None
    assert one.scan(first) is first
    (root / "latest").rename(root / "1.0.1")
    second = one.scan(first)
    assert offered(second) == "1.0.1"
    assert second.problems == ()


def test_control_characters_are_escaped_in_what_is_said(root: Path) -> None:
    write_tree(root, {"1.0/flash/a\n.py": b"", "1.0/flash/b\r/x": b"", "1.0/flash/B\r/x": b""})
    assert all(text.isprintable() for text in problems(scanned(root)))


def test_firmware_that_changes_while_it_is_looked_at_stays_what_it_was(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = scanner(small_tree)
    first = one.scan()

    def changed(*_: object) -> None:
        raise FileChanged

    monkeypatch.setattr(otaserver.catalogue.scan, "inspected_firmware", changed)
    rewrite(small_tree / "firmware_1.0.1.bin", b"\xe9another")
    second = one.scan(first)
    assert second.unsettled
    assert firmware_of(second) is firmware_of(first)
    monkeypatch.undo()
    assert firmware_of(one.scan(second)).file.size_bytes == len(b"\xe9another")


@pytest.mark.parametrize("name", ["1.0.1/flash/boot.py", "firmware_1.0.1.bin"])
def test_a_file_that_becomes_a_fifo_is_not_waited_for_when_it_is_inspected(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_tree(small_tree, {"1.0.1/flash/boot.py": b""})
    target = small_tree / name
    real = hashing.hash_file

    def replaced(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
        hashes = real(path, stamp, check)
        if path == str(target):
            target.unlink()
            os.mkfifo(target)
        return hashes

    monkeypatch.setattr(otaserver.catalogue.scan, "hash_file", replaced)
    assert scanner(small_tree).scan().unsettled
