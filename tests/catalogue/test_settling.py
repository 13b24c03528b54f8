"""When a release counts as complete, and that no clock which is set misleads that."""

import shutil
from pathlib import Path

import pytest

from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.scan import Scanner
from otaserver.catalogue.settling import Settling
from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.walk import WalkedFolder
from tests.catalogue.finding import file_at, firmware_of, offered, paths, tree_at
from tests.support.trees import SMALL_TREE, rewrite, scanner, write_tree

HOUR_S = 3600.0


class Clocks:
    """The file system's own clock, and one that is never set."""

    def __init__(self, now_s: float) -> None:
        self.wall = now_s
        self.monotonic = 0.0

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def newest_change_s(root: Path) -> float:
    return max(path.lstat().st_ctime_ns for path in root.rglob("*")) / 1e9


def settling(root: Path, ahead_s: float = 0) -> tuple[Scanner, Clocks]:
    """A scanner with a settle time of 2 s, and clocks that the test moves."""
    clocks = Clocks(newest_change_s(root) + ahead_s)
    store = HashStore(":memory:")
    return Scanner(
        str(root),
        store,
        2,
        wall_s=lambda: clocks.wall,
        monotonic_s=lambda: clocks.monotonic,
    ), clocks


def test_a_new_release_is_hidden_until_it_has_settled(small_tree: Path) -> None:
    one, clocks = settling(small_tree)
    picture = one.scan()
    assert picture.unsettled
    assert paths(picture) == set()
    assert offered(picture) is None
    clocks.advance(1.9)
    assert paths(one.scan(picture)) == set()
    clocks.advance(0.2)
    picture = one.scan(picture)
    assert paths(picture) == set(SMALL_TREE)
    assert not picture.unsettled


def test_a_release_that_changes_is_kept_as_it_was(small_tree: Path) -> None:
    one, clocks = settling(small_tree, ahead_s=10)
    first = one.scan()
    assert offered(first) == "1.0.1"
    (small_tree / "1.0.1/flash/added.py").write_bytes(b"")
    rewrite(small_tree / "1.0.1/flash/main.py", b"half of")
    clocks.wall = newest_change_s(small_tree) + 1
    second = one.scan(first)
    assert second.unsettled
    assert second.find(("1.0.1",)) is first.find(("1.0.1",))
    assert tree_at(second).newest_release is tree_at(first).newest_release
    clocks.advance(2)
    third = one.scan(second)
    assert "1.0.1/flash/added.py" in paths(third)
    assert not third.unsettled


def test_a_change_deep_inside_a_release_makes_all_of_it_wait(small_tree: Path) -> None:
    one, clocks = settling(small_tree, ahead_s=10)
    first = one.scan()
    (small_tree / "1.0.1/flash/lib/new_lib.py").chmod(0o600)
    clocks.wall = newest_change_s(small_tree) + 0.5
    assert one.scan(first).unsettled


def test_while_a_release_is_being_removed_it_is_kept_and_then_it_is_gone(small_tree: Path) -> None:
    one, clocks = settling(small_tree, ahead_s=10)
    first = one.scan()
    (small_tree / "1.0.1/flash/main.py").unlink()
    clocks.wall = newest_change_s(small_tree) + 0.1
    second = one.scan(first)
    assert offered(second) == "1.0.1"
    assert second.find(("1.0.1",)) is first.find(("1.0.1",))
    shutil.rmtree(small_tree / "1.0.1")
    assert offered(one.scan(second)) == "1.0.0"


def test_a_folder_that_goes_while_its_release_is_walked_changes_nothing(
    small_tree: Path,
) -> None:
    one, _ = settling(small_tree, ahead_s=10)
    first = one.scan()
    calls: list[None] = []

    def remove_midway() -> None:
        calls.append(None)
        # The root, 1.0.0, its flash, 1.0.1, its flash; then the folder in that.
        if len(calls) == 6:
            shutil.rmtree(small_tree / "1.0.1/flash/lib")

    second = one.scan(first, remove_midway)
    assert not (small_tree / "1.0.1/flash/lib").exists()
    assert second.unsettled
    assert offered(second) == "1.0.1"
    assert second.find(("1.0.1",)) is first.find(("1.0.1",))


def test_firmware_and_loose_files_settle_each_by_itself(small_tree: Path) -> None:
    one, clocks = settling(small_tree, ahead_s=10)
    first = one.scan()
    (small_tree / "firmware_2.0.bin").write_bytes(b"\xe9half")
    rewrite(small_tree / "firmware_1.0.1.bin", b"\xe9changing")
    clocks.wall = newest_change_s(small_tree) + 1
    second = one.scan(first)
    assert second.unsettled
    assert firmware_of(second).file is firmware_of(first).file
    assert offered(second) == "1.0.1"
    clocks.advance(2)
    third = one.scan(second)
    assert firmware_of(third).version == "2.0"
    assert file_at(third, "firmware_1.0.1.bin").size_bytes == len(b"\xe9changing")


def test_a_release_settles_even_if_the_wall_clock_is_behind_the_files(small_tree: Path) -> None:
    one, clocks = settling(small_tree, ahead_s=-1_000_000)
    picture = one.scan()
    assert picture.unsettled
    clocks.advance(1.9)
    picture = one.scan(picture)
    assert paths(picture) == set()
    clocks.advance(0.2)
    picture = one.scan(picture)
    assert paths(picture) == set(SMALL_TREE)
    assert one.scan(picture) is picture


def test_a_release_that_goes_on_changing_before_a_wrong_clock_is_not_offered(
    small_tree: Path,
) -> None:
    one, clocks = settling(small_tree, ahead_s=-1_000_000)
    picture = one.scan()
    for number in range(4):
        clocks.advance(1.5)
        for version in ("1.0.0", "1.0.1"):
            rewrite(small_tree / version / "flash/same.py", b"%d" % number)
        picture = one.scan(picture)
        assert offered(picture) is None


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, 50 * 365 * 24 * HOUR_S])
def test_setting_the_clock_during_a_copy_offers_no_half_of_it(
    small_tree: Path, jump_s: float
) -> None:
    one, clocks = settling(small_tree, ahead_s=10)
    picture = one.scan()
    (small_tree / "1.0.2/flash").mkdir(parents=True)
    (small_tree / "1.0.2/flash/main.py").write_bytes(b"half of")
    clocks.wall = newest_change_s(small_tree)
    picture = one.scan(picture)
    clocks.wall += jump_s
    for _ in range(2):
        clocks.advance(0.9)
        picture = one.scan(picture)
        assert offered(picture) == "1.0.1"
        assert picture.unsettled
    clocks.advance(0.9)
    assert offered(one.scan(picture)) == "1.0.2"


def test_setting_the_clock_during_the_first_scan_offers_no_half_of_a_copy(
    small_tree: Path,
) -> None:
    one, clocks = settling(small_tree, ahead_s=1)
    calls: list[None] = []

    def set_the_clock() -> None:
        calls.append(None)
        if len(calls) == 2:
            clocks.wall += HOUR_S

    picture = one.scan(check=set_the_clock)
    assert offered(picture) is None
    clocks.advance(2)
    assert offered(one.scan(picture)) == "1.0.1"


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_setting_the_clock_before_a_copy_is_first_seen_offers_no_half_of_it(
    small_tree: Path, jump_s: float
) -> None:
    one, clocks = settling(small_tree, ahead_s=10)
    picture = one.scan()
    write_tree(small_tree, {"1.0.2/flash/main.py": b"half of"})
    write_tree(small_tree, {"firmware_1.0.2.bin": b"\xe9half of"})
    clocks.wall = newest_change_s(small_tree) + jump_s
    picture = one.scan(picture)
    assert offered(picture) == "1.0.1"
    assert firmware_of(picture).version == "1.0.1"


def test_a_copy_that_goes_on_after_the_clock_was_set_back_is_not_offered(tmp_path: Path) -> None:
    """Its latest time stays that of the first files, so that this alone shows nothing."""
    walked = WalkedFolder("1.0.2", mtime_ns=0, ctime_ns=0)
    walked.files["first.py"] = Stamp(1, 1, 1, mtime_ns=0, ctime_ns=3600 * 10**9)
    clocks = Clocks(0)
    settling = Settling(2, lambda: clocks.wall, lambda: clocks.monotonic)
    settling.end_scan()
    for number in range(5):
        walked.files["growing.py"] = Stamp(1, 2, number, mtime_ns=number, ctime_ns=number)
        assert not settling.is_settled("1.0.2", walked.fingerprint(), walked.changed_ns())
        settling.end_scan()
        clocks.advance(1.9)
    clocks.advance(0.1)
    assert settling.is_settled("1.0.2", walked.fingerprint(), walked.changed_ns())


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_setting_the_clock_withdraws_nothing_and_hashes_nothing_again(
    small_tree: Path, jump_s: float
) -> None:
    one, clocks = settling(small_tree, ahead_s=10)
    picture = one.scan()
    clocks.wall += jump_s
    assert one.scan(picture) is picture
    clocks.advance(1)
    assert one.scan(picture) is picture


def test_after_a_restart_what_changed_long_ago_is_offered_at_once(small_tree: Path) -> None:
    one, _ = settling(small_tree, ahead_s=2)
    assert not one.scan().unsettled


def test_a_settle_time_of_zero_offers_at_once_whatever_the_clock_says(small_tree: Path) -> None:
    one = scanner(small_tree, wall_s=lambda: 0.0, monotonic_s=lambda: 0.0)
    assert offered(one.scan()) == "1.0.1"
