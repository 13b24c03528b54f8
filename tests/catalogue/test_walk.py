import os
from pathlib import Path

import pytest

from otaserver.catalogue.walk import TreeWalker, WalkedFolder
from tests.support.trees import write_tree


def walked(root: Path, path: str = "1.0") -> tuple[WalkedFolder, list[str]]:
    walker = TreeWalker(str(root))
    return walker.walk_whole(path, frozenset()), [str(problem) for problem in walker.problems]


def test_unfinished_uploads_are_listed_and_left_out(root: Path) -> None:
    write_tree(root, {"1.0/flash/a.py": b"", "1.0/flash/b.py.part": b"", "1.0/.in.x/c": b""})
    top, _ = walked(root)
    found = [path for folder in top.all_folders() for path in folder.unfinished]
    assert found == ["1.0/.in.x", "1.0/flash/b.py.part"]
    assert [list(folder.files) for folder in top.all_folders()] == [[], ["a.py"]]


@pytest.mark.parametrize("target", ["nothing", "../../common/gone.py", "../../2.0", "a.py/x"])
def test_a_link_whose_target_is_away_makes_its_folder_incomplete(root: Path, target: str) -> None:
    write_tree(root, {"1.0/flash/a.py": b""})
    (root / "1.0/flash/link").symlink_to(target)
    top, problems = walked(root)
    assert not top.is_complete
    assert len(problems) == 1
    assert problems[0].startswith("1.0/flash/link ")


def test_links_that_lead_around_in_a_circle_make_it_incomplete(root: Path) -> None:
    write_tree(root, {"1.0/flash/a.py": b""})
    (root / "1.0/flash/b").symlink_to("c")
    (root / "1.0/flash/c").symlink_to("b")
    top, problems = walked(root)
    assert not top.is_complete
    assert len(problems) == 2
    assert all(problem.endswith("and is left out: remove the link") for problem in problems)


def test_a_link_to_what_is_never_served_is_left_out_for_good(root: Path) -> None:
    write_tree(root, {"1.0/flash/a.py": b"", "x.part": b"", ".hidden": b""})
    (root / "1.0/flash/unfinished").symlink_to("../../x.part")
    (root / "1.0/flash/hidden").symlink_to("../../.hidden")
    (root / "1.0/flash/null").symlink_to("/dev/null")
    top, problems = walked(root)
    assert top.is_complete
    assert list(top.folders["flash"].files) == ["a.py"]
    assert len(problems) == 3


def test_what_is_neither_file_nor_folder_does_not_make_it_incomplete(root: Path) -> None:
    write_tree(root, {"1.0/flash/a.py": b""})
    os.mkfifo(root / "1.0/flash/fifo")
    assert walked(root)[0].is_complete
