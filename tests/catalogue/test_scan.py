import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import otaserver.catalogue.scan
from otaserver.catalogue import hashing
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.hashing import Hashes
from otaserver.catalogue.model import Catalogue, Folder
from otaserver.catalogue.scan import ScanCancelled, ScanError, Scanner
from otaserver.catalogue.stamps import Stamp
from tests.catalogue.finding import (
    file_at,
    firmware_of,
    folder_at,
    offered,
    paths,
    tree_at,
)
from tests.support.trees import SMALL_TREE, rewrite, scanned, scanner, write_tree

NOBODY = 65534


def problems(catalogue: Catalogue) -> list[str]:
    return [str(problem) for problem in catalogue.problems]


def problem_about(catalogue: Catalogue, path: str) -> str:
    (problem,) = [text for text in problems(catalogue) if text.startswith(path)]
    return problem


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read, by name, in order."""
    names: list[str] = []
    real = hashing.hash_file

    def hash_file(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
        names.append(os.path.basename(path))
        return real(path, stamp, check)

    monkeypatch.setattr(otaserver.catalogue.scan, "hash_file", hash_file)
    return names


@contextlib.contextmanager
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Root may read everything: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == 0 and folder != Path("/") and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# What is in a picture


def test_releases_firmware_products_and_loose_files_are_in_the_picture(root: Path) -> None:
    write_tree(root, {**SMALL_TREE, "README": b"", "lopy4/2.0/flash/a.py": b"", "lopy4/x": b""})
    catalogue = scanned(root)
    assert paths(catalogue) == {*SMALL_TREE, "README", "lopy4/2.0/flash/a.py", "lopy4/x"}
    assert offered(catalogue) == "1.0.1"
    assert offered(catalogue, "lopy4") == "2.0"
    assert catalogue.problems == ()
    assert folder_at(catalogue, "1.0.1").tree is None


def test_products_nest(root: Path) -> None:
    write_tree(root, {"a/b/c/3.0/flash/x": b"x", "a/1.0/flash/beta/y": b"y"})
    catalogue = scanned(root)
    assert offered(catalogue, "a", "b", "c") == "3.0"
    assert offered(catalogue, "a", "b") is None
    assert offered(catalogue, "a") == "1.0"
    assert folder_at(catalogue, "a", "1.0", "flash", "beta").tree is None


def test_a_tree_in_which_nothing_is_a_version_offers_nothing(root: Path) -> None:
    write_tree(root, {"notes/today.txt": b"x", "firmware_new.bin": b"x"})
    catalogue = scanned(root)
    assert offered(catalogue) is None
    assert tree_at(catalogue).newest_firmware is None
    assert paths(catalogue) == {"notes/today.txt", "firmware_new.bin"}


def test_an_empty_tree_has_a_picture(root: Path) -> None:
    assert paths(scanned(root)) == set()


def test_a_release_without_files_is_not_offered(root: Path) -> None:
    write_tree(root, {"1.0/flash/main.py": b""})
    (root / "1.1" / "flash").mkdir(parents=True)
    catalogue = scanned(root)
    assert offered(catalogue) == "1.0"
    assert problem_about(catalogue, "1.1") == (
        "1.1 has no files, and is not offered: copy them into it"
    )


def test_folders_that_link_to_each_other_end(root: Path) -> None:
    names = [f"folder{number}" for number in range(8)]
    for name in names:
        (root / name).mkdir()
    for name in names:
        for other in names:
            (root / name / other).symlink_to(f"../{other}")
    catalogue = scanned(root)
    assert sum("links to folders" in problem for problem in problems(catalogue)) == 1


def test_names_with_strange_digits_are_read_without_an_error(root: Path) -> None:
    write_tree(root, {"1²/flash/a": b"", "firmware_1٣x.bin": b""})
    catalogue = scanned(root)
    assert [release.version for release in tree_at(catalogue).releases] == ["1²"]
    assert [firmware.version for firmware in tree_at(catalogue).firmwares] == ["1٣x"]


@pytest.mark.parametrize(
    "name",
    [
        ".hidden",
        ".DS_Store",
        "pymakr.conf",
        "main.py~",
        "#main.py#",
        ".main.py.swp",
        "main.py.swp",
        "main.py.swo",
        "Thumbs.db",
        "desktop.ini",
    ],
)
def test_what_tools_leave_behind_is_not_part_of_a_tree(root: Path, name: str) -> None:
    write_tree(root, {f"1.0/flash/{name}": b"", name: b"", "1.0/flash/main.py": b""})
    assert paths(scanned(root)) == {"1.0/flash/main.py"}


def test_hidden_folders_are_not_part_of_a_tree(root: Path) -> None:
    hidden = {".git/config": b"", "1.0/.git/x": b"", "1.0/__pycache__/x.pyc": b""}
    write_tree(root, {**hidden, "1.0/flash/x": b""})
    catalogue = scanned(root)
    assert paths(catalogue) == {"1.0/flash/x"}
    assert catalogue.problems == ()


def test_a_manifest_on_disk_is_hidden_by_the_made_one_and_reported(root: Path) -> None:
    write_tree(
        root, {"manifest.json": b"", "p/manifest.json": b"", "1.0/flash/manifest.json": b""}
    )
    catalogue = scanned(root)
    assert paths(catalogue) == {"1.0/flash/manifest.json"}
    assert len(catalogue.problems) == 2


# Links and other kinds of files


def test_links_that_leave_the_tree_are_left_out_and_reported(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("x")
    write_tree(root, {"1.0/flash/main.py": b""})
    (root / "1.0" / "flash" / "passwd").symlink_to("/etc/passwd")
    (root / "1.0" / "flash" / "up").symlink_to("../../../secret")
    (root / "2.0").symlink_to("../outside")
    (root / "product").symlink_to(tmp_path / "outside")
    (root / "gone").symlink_to("nothing")
    (root / "self").symlink_to("self")
    (root / "here").symlink_to(".")
    catalogue = scanned(root)
    assert paths(catalogue) == {"1.0/flash/main.py"}
    assert set(catalogue.root.folders) == {"1.0"}
    assert offered(catalogue) == "1.0"
    assert len(catalogue.problems) == 7


def test_a_tree_whose_name_begins_like_the_root_s_is_outside(root: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / (root.name + "-private"), {"x": b"secret"})
    (root / "link").symlink_to(f"../{root.name}-private/x")
    assert paths(scanned(root)) == set()


def test_links_inside_the_tree_are_followed(root: Path) -> None:
    write_tree(root, {"1.0/flash/main.py": b"one", "common/lib.py": b"lib"})
    (root / "1.0" / "flash" / "lib.py").symlink_to("../../common/lib.py")
    (root / "2.0").symlink_to("1.0")
    catalogue = scanned(root)
    assert paths(catalogue) >= {"1.0/flash/lib.py", "2.0/flash/lib.py", "2.0/flash/main.py"}
    assert catalogue.problems == ()


@pytest.mark.parametrize("target", [".secret", ".git/config", "main.py~"])
def test_a_link_to_something_hidden_is_left_out(root: Path, target: str) -> None:
    write_tree(root, {target: b"x"})
    (root / "shown").symlink_to(target)
    assert paths(scanned(root)) == set()


def test_folders_that_lead_back_to_themselves_end(root: Path) -> None:
    write_tree(root, {"1.0/flash/a": b"", "product/2.0/flash/x": b""})
    (root / "1.0" / "flash" / "loop").symlink_to("..")
    (root / "product" / "loop").symlink_to("../product")
    catalogue = scanned(root)
    assert len(paths(catalogue)) < 10
    assert any("leads back" in problem for problem in problems(catalogue))


def test_what_is_neither_file_nor_folder_is_left_out_without_waiting(root: Path) -> None:
    write_tree(root, {"1.0/flash/file": b""})
    os.mkfifo(root / "1.0" / "fifo")
    os.mkfifo(root / "firmware_1.0.bin")
    (root / "null").symlink_to("/dev/null")
    catalogue = scanned(root)
    assert paths(catalogue) == {"1.0/flash/file"}
    assert len(catalogue.problems) == 3


def test_a_file_that_becomes_a_fifo_is_not_waited_for(small_tree: Path) -> None:
    one = scanner(small_tree)
    before = one.scan()
    target = small_tree / "firmware_1.0.1.bin"
    target.unlink()
    os.mkfifo(target)
    assert target.name not in paths(one.scan(before))


def test_names_that_are_not_utf_8_are_left_out_and_reported(root: Path) -> None:
    write_tree(root, {"1.0/flash/a": b"", "2.0/flash/a": b""})
    with open(os.fsencode(root) + b"/2.0/flash/\xff\xfe", "wb"):
        pass
    os.mkdir(os.fsencode(root) + b"/\xe4rger")
    catalogue = scanned(root)
    assert offered(catalogue) == "1.0"
    assert paths(catalogue) == {"1.0/flash/a", "2.0/flash/a"}
    assert any("\\xff\\xfe" in problem for problem in problems(catalogue))
    assert all(problem.encode() for problem in problems(catalogue))


def test_a_tree_deeper_than_the_limit_is_cut_off_and_its_release_not_offered(root: Path) -> None:
    write_tree(
        root, {"1.0/flash/a": b"", "2.0/" + "d/" * 70 + "x": b"", "p/" * 70 + "1.0/flash/x": b""}
    )
    catalogue = scanned(root)
    assert offered(catalogue) == "1.0"
    assert sum("folders deep" in problem for problem in problems(catalogue)) == 2


# What can't be read


def test_an_unreadable_file_keeps_its_release_from_being_offered(
    small_tree: Path, tmp_path: Path
) -> None:
    (small_tree / "1.0.1/flash/main.py").chmod(0)
    with unprivileged(tmp_path):
        catalogue = scanned(small_tree)
    assert offered(catalogue) == "1.0.0"
    assert "1.0.1/flash/main.py" not in paths(catalogue)
    assert any("1.0.1/flash/main.py can't be read" in text for text in problems(catalogue))


def test_an_unreadable_folder_is_reported_and_the_rest_is_served(
    root: Path, tmp_path: Path
) -> None:
    write_tree(root, {**SMALL_TREE, "lopy4/1.0/flash/x": b"", "wipy/1.0/flash/x": b""})
    (root / "1.0.1/flash/lib").chmod(0)
    (root / "lopy4").chmod(0)
    with unprivileged(tmp_path):
        catalogue = scanned(root)
    (root / "lopy4").chmod(0o755)
    (root / "1.0.1/flash/lib").chmod(0o755)
    assert offered(catalogue) == "1.0.0"
    assert offered(catalogue, "wipy") == "1.0"
    assert "lopy4" not in catalogue.root.folders
    assert "Permission denied" in problem_about(catalogue, "lopy4")


def test_a_root_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="can't read the release tree"):
        scanned(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(ScanError):
        scanned(tmp_path / "file")


# What is hashed, and what stays the same object


def test_a_scan_without_a_change_reads_nothing_and_gives_the_same_object(
    small_tree: Path, hashed: list[str]
) -> None:
    one = scanner(small_tree)
    first = one.scan()
    assert len(hashed) == len(SMALL_TREE)
    hashed.clear()
    assert one.scan(first) is first
    assert hashed == []


def test_after_one_change_one_file_is_read_and_the_rest_is_shared(
    small_tree: Path, hashed: list[str]
) -> None:
    one = scanner(small_tree)
    first = one.scan()
    hashed.clear()
    rewrite(small_tree / "1.0.1/flash/main.py", b"print(3)\n")
    second = one.scan(first)
    assert hashed == ["main.py"]
    assert second is not first
    assert second.find(("1.0.0",)) is first.find(("1.0.0",))
    assert second.find(("1.0.1", "flash", "lib")) is first.find(("1.0.1", "flash", "lib"))
    assert second.find(("1.0.1",)) is not first.find(("1.0.1",))
    assert tree_at(second).releases[0] is tree_at(first).releases[0]
    assert firmware_of(second).file is firmware_of(first).file


def test_a_new_file_beside_the_others_is_the_only_one_read(
    small_tree: Path, hashed: list[str]
) -> None:
    one = scanner(small_tree)
    first = one.scan()
    hashed.clear()
    (small_tree / "1.0.1/sd").mkdir()
    (small_tree / "1.0.1/sd/added").write_bytes(b"x")
    assert "1.0.1/sd/added" in paths(one.scan(first))
    assert hashed == ["added"]


def test_a_file_of_the_same_size_with_its_old_time_put_back_is_read_again(
    small_tree: Path, hashed: list[str]
) -> None:
    target = small_tree / "1.0.1/flash/main.py"
    one = scanner(small_tree)
    first = one.scan()
    before = target.stat()
    target.unlink()
    target.write_bytes(b"print(9)\n")
    os.utime(target, ns=(before.st_mtime_ns, before.st_mtime_ns))
    second = one.scan(first)
    names = ("1.0.1", "flash", "main.py")
    assert file_at(second, *names).sha256 != file_at(first, *names).sha256


def test_hashes_survive_a_restart(small_tree: Path, tmp_path: Path, hashed: list[str]) -> None:
    state = tmp_path / "state" / "hashes.sqlite3"
    for _ in range(2):
        store = HashStore(state)
        last = Scanner(str(small_tree), store, 0).scan()
        store.close()
    assert len(hashed) == len(SMALL_TREE)
    content = SMALL_TREE["1.0.1/flash/main.py"]
    kept = file_at(last, "1.0.1", "flash", "main.py")
    assert kept.sha256 == hashlib.sha256(content).hexdigest()
    assert kept.sha1 == hashlib.sha1(content).hexdigest()


def test_removed_files_leave_the_picture(small_tree: Path) -> None:
    one = scanner(small_tree)
    first = one.scan()
    shutil.rmtree(small_tree / "1.0.1")
    (small_tree / "firmware_1.0.1.bin").unlink()
    second = one.scan(first)
    assert offered(second) == "1.0.0"
    assert tree_at(second).newest_firmware is None


def test_a_scan_can_be_ended_between_files_and_within_one(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otaserver.catalogue.hashing.READ_SIZE_BYTES", 1)
    for after in range(1, 12):
        left = iter(range(after))

        def check(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise ScanCancelled

        with pytest.raises(ScanCancelled):
            scanner(small_tree).scan(None, check)


# Equal ranks


def test_versions_of_equal_rank_are_reported_once_each_and_not_offered(root: Path) -> None:
    write_tree(
        root,
        {
            "1.0/flash/a": b"",
            "2.0/flash/a": b"",
            "v2/flash/a": b"",
            "p/3/flash/a": b"",
            "p/3.0/flash/a": b"",
        },
    )
    catalogue = scanned(root)
    assert offered(catalogue) == "1.0"
    assert offered(catalogue, "p") is None
    assert problems(catalogue) == [
        "the root has versions of equal rank, 2.0 and v2, and offers none of them: keep one",
        "p has versions of equal rank, 3 and 3.0, and offers none of them: keep one",
    ]


def test_a_file_that_changes_while_it_is_hashed_is_taken_later(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hashing.hash_file

    def changing(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
        if path.endswith("1.0.1/flash/main.py"):
            with open(path, "ab") as file:
                file.write(b"more")
        return real(path, stamp, check)

    one = scanner(small_tree)
    monkeypatch.setattr(otaserver.catalogue.scan, "hash_file", changing)
    picture = one.scan()
    assert picture.unsettled
    assert offered(picture) == "1.0.0"
    monkeypatch.undo()
    picture = one.scan(picture)
    assert offered(picture) == "1.0.1"
    assert not picture.unsettled


def test_a_file_that_is_removed_before_it_is_hashed_is_taken_later(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hashing.hash_file

    def vanishing(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
        if path.endswith("new_lib.py"):
            os.unlink(path)
        return real(path, stamp, check)

    monkeypatch.setattr(otaserver.catalogue.scan, "hash_file", vanishing)
    one = scanner(small_tree)
    picture = one.scan()
    assert offered(picture) == "1.0.0"
    assert offered(one.scan(picture)) == "1.0.1"


def test_a_product_that_is_renamed_in_is_found(small_tree: Path, tmp_path: Path) -> None:
    one = scanner(small_tree)
    first = one.scan()
    write_tree(tmp_path / "staging", {"5.0/flash/x": b"x"})
    (tmp_path / "staging").rename(small_tree / "lopy4")
    assert offered(one.scan(first), "lopy4") == "5.0"


def test_a_root_that_is_a_link_can_be_switched_over(small_tree: Path, tmp_path: Path) -> None:
    other = write_tree(tmp_path / "other", {"9.0/flash/x": b"x"})
    link = tmp_path / "link"
    link.symlink_to(small_tree)
    one = scanner(link)
    first = one.scan()
    assert offered(first) == "1.0.1"
    link.unlink()
    link.symlink_to(other)
    second = one.scan(first)
    assert offered(second) == "9.0"
    assert isinstance(second.root, Folder)
