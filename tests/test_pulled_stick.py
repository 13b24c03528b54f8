"""A tree that is away is not taken for an empty one: requests are to be tried again."""

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from otaserver.catalogue.file_systems import FileSystems
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.model import Catalogue
from otaserver.catalogue.presence import RootAway, ScanError
from otaserver.catalogue.scan import Scanner
from otaserver.catalogue.stamps import FileAway, FileRemoved, open_stamped
from tests.catalogue.finding import file_at, folder_at, tree_at, version_of
from tests.support.http import Bench
from tests.support.mounts import exfat_image, mounted_image, unmount
from tests.support.process import Server, running_server, wait_until
from tests.support.trees import SMALL_TREE, scanner, write_tree

FILE = "/1.0.1/flash/main.py"
PRODUCT = {"lopy4/2.0/flash/main.py": b"2"}


@pytest.fixture
def tree(small_tree: Path) -> Path:
    return write_tree(small_tree, PRODUCT)


def missing(root: Path) -> None:
    root.rename(root.with_name("away"))


def empty(root: Path) -> None:
    missing(root)
    root.mkdir()


def back(root: Path) -> None:
    if root.exists():
        root.rmdir()
    root.with_name("away").rename(root)


WAYS = [missing, empty]


# What a scan makes of it


@pytest.mark.parametrize("pull", WAYS)
def test_a_root_that_is_pulled_out_is_away(tree: Path, pull: Callable[[Path], None]) -> None:
    one = scanner(tree)
    catalogue = one.scan()
    pull(tree)
    with pytest.raises(RootAway, match="can't read the release tree: "):
        one.scan(catalogue)
    back(tree)
    assert one.scan(catalogue) is catalogue


def test_a_root_that_is_empty_at_first_is_empty_unless_it_is_awaited(root: Path) -> None:
    assert scanner(root).scan().root.is_empty()
    with pytest.raises(RootAway, match="is empty"):
        scanner(root, is_awaited=True).scan()
    (root / ".hidden").write_text("")
    with pytest.raises(RootAway, match="is empty"):
        scanner(root, is_awaited=True).scan()
    (root / "README").write_text("")
    assert not scanner(root, is_awaited=True).scan().root.is_empty()


def test_a_root_that_is_a_file_is_no_tree_that_is_away(root: Path) -> None:
    root.rmdir()
    root.write_text("")
    with pytest.raises(ScanError) as caught:
        scanner(root, is_awaited=True).scan()
    assert not isinstance(caught.value, RootAway)


def test_a_root_that_is_pulled_out_in_the_middle_of_a_scan_is_away(tree: Path) -> None:
    hashes = HashStore(":memory:")
    pulled: list[int] = []

    def pull() -> None:
        pulled.append(1)
        if len(pulled) == 5:
            missing(tree)

    with pytest.raises(RootAway, match="was taken away"):
        Scanner(str(tree), hashes, 0).scan(check=pull)


def test_a_product_that_is_empty_all_at_once_is_away(tree: Path) -> None:
    one = scanner(tree)
    catalogue = one.scan()
    empty(tree / "lopy4")
    pulled = one.scan(catalogue)
    assert pulled.away == ("lopy4",)
    assert version_of(tree_at(pulled, "lopy4").newest_release) == "2.0"
    assert [str(problem) for problem in pulled.problems] == [
        "lopy4 was not empty before, and is taken to be away with its disk: "
        "bring it back, or delete the folder"
    ]
    assert one.scan(pulled) is pulled
    back(tree / "lopy4")
    again = one.scan(pulled)
    assert not again.away
    assert not again.problems
    assert folder_at(again, "lopy4") is folder_at(catalogue, "lopy4")
    shutil.rmtree(tree / "lopy4")
    assert one.scan(again).away == ()


@pytest.fixture
def disks(tmp_path: Path, tree: Path) -> Iterator[Path]:
    folder = tmp_path / "disks"
    device = tree.stat().st_dev
    (folder / f"{os.major(device)}:{os.minor(device)}").mkdir(parents=True)
    yield folder


def test_what_can_not_be_read_of_a_disk_without_a_trace_is_not_taken_for_deleted(
    tree: Path, disks: Path
) -> None:
    one = scanner(tree)
    one._file_systems = FileSystems(disks=disks)
    catalogue = one.scan()
    for disk in disks.iterdir():
        disk.rmdir()
    # As FAT does it: what the kernel does not remember seems empty.
    shutil.rmtree(tree / "1.0.1" / "flash" / "lib")
    with pytest.raises(RootAway):
        one.scan(catalogue)


def test_where_the_kernel_lists_no_disks_none_is_gone(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for folder in (tmp_path / "none", tmp_path / "nothing"):
        assert not FileSystems(disks=folder).is_gone(tree.stat().st_dev)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), False),
        (("a",), False),
        (("a", "b"), True),
        (("a", "b", "c"), True),
        (("a", "bc"), False),
    ],
)
def test_what_is_below_a_folder_that_is_away_is_away(
    tree: Path, parts: tuple[str, ...], expected: bool
) -> None:
    root = scanner(tree).scan().root
    assert Catalogue(root, away=("a/b",)).is_away(parts) is expected
    assert Catalogue(root, away=("",)).is_away(parts)
    assert not Catalogue(root).is_away(parts)


@pytest.mark.parametrize("pull", WAYS)
def test_a_missing_file_is_away_if_the_tree_is(tree: Path, pull: Callable[[Path], None]) -> None:
    file = file_at(scanner(tree).scan(), "lopy4", "2.0", "flash", "main.py")

    def opened() -> None:
        open_stamped(f"{tree}/{file.path}", file.stamp, str(tree))

    pull(tree)
    with pytest.raises(FileAway):
        opened()
    back(tree)
    empty(tree / "lopy4")
    with pytest.raises(FileAway):
        opened()
    (tree / "lopy4").rmdir()
    with pytest.raises(FileRemoved):
        opened()


# What clients are told


@pytest.mark.parametrize("pull", WAYS)
def test_before_it_is_noticed_files_are_to_be_asked_for_again(
    bench: Bench, small_tree: Path, pull: Callable[[Path], None]
) -> None:
    pull(small_tree)
    for path in (FILE, "/firmware_1.0.1.bin"):
        assert_to_be_tried_again(bench.ask(path).status, bench.ask(path).fields, path)
    back(small_tree)
    assert bench.ask(FILE).body == SMALL_TREE[FILE[1:]]


def assert_to_be_tried_again(status: int, fields: Mapping[str, str], path: str) -> None:
    assert status == 503, path
    assert int(fields["Retry-After"]) > 0


def ask(server: Server, path: str) -> tuple[int, Mapping[str, str]]:
    try:
        with urllib.request.urlopen(f"{server.http_url}{path}", timeout=10) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers)


def is_served(server: Server) -> bool:
    return ask(server, FILE)[0] == 200


def assert_all_to_be_tried_again(server: Server) -> None:
    wait_until(lambda: ask(server, "/")[0] == 503)
    for path in (FILE, "/", "/1.0.1/", "/other", "/manifest.json", "/manifest.json?current_ver=9"):
        assert_to_be_tried_again(*ask(server, path), path)


def said(server: Server, text: str) -> int:
    return sum(text in line for line in server.log)


def wait_until_said(server: Server, text: str, times: int) -> None:
    wait_until(lambda: said(server, text) >= times)
    assert said(server, text) == times


@pytest.mark.real
@pytest.mark.parametrize("pull", WAYS)
def test_once_it_is_noticed_everything_is_to_be_asked_for_again(
    small_tree: Path, tmp_path: Path, pull: Callable[[Path], None]
) -> None:
    with running_server(small_tree, tmp_path / "state") as server:
        for number in (1, 2):
            assert is_served(server)
            pull(small_tree)
            assert_all_to_be_tried_again(server)
            wait_until_said(server, "are to be tried again until it is back", number)
            back(small_tree)
            wait_until(lambda: is_served(server))
            # The log is read by a thread of its own.
            wait_until_said(server, "The release tree is there again", number)


@pytest.mark.real
def test_a_real_stick_is_pulled_out_and_put_in_again(tmp_path: Path) -> None:
    image, stick = exfat_image(tmp_path / "image"), tmp_path / "stick"
    with mounted_image(image, stick):
        write_tree(stick, SMALL_TREE)
        with running_server(stick, tmp_path / "state") as server:
            assert is_served(server)
            unmount(stick)
            assert_all_to_be_tried_again(server)
            with mounted_image(image, stick):
                wait_until(lambda: is_served(server))
                assert ask(server, "/manifest.json?current_ver=1.0.0")[0] == 200


@pytest.mark.real
@pytest.mark.parametrize("pull", WAYS)
def test_a_root_that_is_not_there_at_the_start_is_waited_for(
    small_tree: Path, tmp_path: Path, pull: Callable[[Path], None]
) -> None:
    pull(small_tree)
    options = ("--wait-for-root",)
    state = tmp_path / "state"
    with running_server(small_tree, state, *options, ready="until it is back") as server:
        assert_all_to_be_tried_again(server)
        back(small_tree)
        wait_until(lambda: is_served(server))
        wait_until_said(server, "The release tree is there again", 1)
