"""A gateway's disk keeps what was synced, and of what came after it any part."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.library import DictionaryOTA, QuickBoard, Reset, ota_recovery
from tests.support.update_tree import NEW, OLD, contents, manifest

RECORD = "flash/OTA_VERSION.py"
MOST_BOOTS = 10


class RememberingBoard(QuickBoard):
    """Keeps a picture of the disk as it was at each sync."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.pictures: list[dict[str, bytes]] = []

    def sync(self) -> None:
        self.pictures.append(files(self.folder))


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def lay(folder: Path, tree: dict[str, bytes]) -> None:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def mixtures(before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield what may be left: one change of many kept, or all but one, and both ends."""
    changed = [
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    ]
    yield before
    yield after
    for path in changed:
        yield with_state_of(before, after, path)
        yield with_state_of(after, before, path)


def with_state_of(tree: dict[str, bytes], other: dict[str, bytes], path: str) -> dict[str, bytes]:
    mixed = {name: content for name, content in tree.items() if name != path}
    return mixed | ({path: other[path]} if path in other else {})


def start_until_settled(folder: Path) -> None:
    for _ in range(MOST_BOOTS):
        board = QuickBoard(folder)
        try:
            state = ota_recovery.recover(board)
        except Reset:
            continue
        if state == "trial":
            DictionaryOTA(board=board).confirm()
        return
    raise AssertionError("never came to rest")


def application_files(folder: Path) -> dict[str, bytes]:
    return {path: content for path, content in files(folder).items() if "/.ota/" not in path}


@pytest.fixture
def pictures(tmp_path: Path) -> list[dict[str, bytes]]:
    folder = tmp_path / "device"
    lay(folder, {**OLD, RECORD: b"VERSION = '1.0.0'\n"})
    board = RememberingBoard(folder)
    board.sync()
    ota = DictionaryOTA(board=board)
    ota.served = contents(manifest(OLD, NEW), NEW)
    with pytest.raises(Reset):
        ota.update()
    DictionaryOTA(board=board).confirm()
    board.sync()
    return board.pictures


def test_any_part_of_what_was_not_synced_may_be_lost(
    pictures: list[dict[str, bytes]], tmp_path: Path
) -> None:
    old = {**OLD, RECORD: b"VERSION = '1.0.0'\n"}
    new = {**NEW, RECORD: b"VERSION = '1.0.1'\nFIRMWARE_VERSION = '1.0.0'\n"}
    numbers = itertools.count()
    seen = []
    for before, after in itertools.pairwise(pictures):
        for mixture in mixtures(before, after):
            folder = tmp_path / str(next(numbers))
            (folder / "flash").mkdir(parents=True)
            lay(folder, mixture)
            start_until_settled(folder)
            result = application_files(folder)
            assert result in (old, new)
            seen.append(result == new)
    assert len(set(seen)) == 2
    assert len(seen) > 50
