"""Releases with files for more folders than flash and sd: a badge's tree begins with app/."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.board import EXAMPLES, POLLING, SimulatedBoard
from tests.support.library import DictionaryOTA, QuickBoard, Reset, ota_recovery, put
from tests.support.update_tree import contents, manifest

import ota_errors  # isort: skip  (tests.support.library has put it within reach)
import ota_store  # isort: skip

OLD = {
    "flash/main.py": b"old\n",
    "app/main.py": b"old app\n",
    "app/gone.py": b"gone\n",
    "app/deep/gone.py": b"gone\n",
}
NEW = {
    "flash/main.py": b"new\n",
    "app/main.py": b"new app\n" * 100,
    "app/added/er.py": b"added\n",
}


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".ota" not in path.parts and path.name != "OTA_VERSION.py"
    }


def ota_on(folder: Path, board: QuickBoard | None = None, **options: Any) -> DictionaryOTA:
    roots = options.pop("roots", {"app": str(folder / "app")})
    ota = DictionaryOTA(board=board or QuickBoard(folder), roots=roots, **options)
    ota.served = contents(manifest(OLD, NEW), NEW)
    return ota


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, OLD)
    (tmp_path / "sd").mkdir()
    return tmp_path


def update(ota: DictionaryOTA) -> None:
    with pytest.raises(Reset):
        ota.update()


# What can be a root


def test_the_board_has_the_roots_of_the_application(tmp_path: Path) -> None:
    board = QuickBoard(tmp_path)
    before = dict(board.roots)
    DictionaryOTA(board=board, roots={"app": "/app", "sd": "/card"})
    assert board.roots == {**before, "app": "/app", "sd": "/card"}


@pytest.mark.parametrize(
    ("roots", "said"),
    [
        ({"": "/app"}, "roots: '' can't be the name of a root"),
        ({"a/b": "/app"}, "roots: 'a/b' can't be the name of a root"),
        ({"a=b": "/app"}, "roots: 'a=b' can't be the name of a root"),
        ({"..": "/app"}, "roots: '..' can't be the name of a root"),
        ({"flash": "/other"}, "roots: 'flash' can't be the name of a root"),
        ({"FLASH": "/other"}, "roots: 'FLASH' can't be the name of a root"),
        ({"app": ""}, "roots: '' is no path such as /app"),
        ({"app": "/"}, "roots: '/' is no path such as /app"),
        ({"app": "app"}, "roots: 'app' is no path such as /app"),
        ({"app": "/app/"}, "roots: '/app/' is no path such as /app"),
        ({"app": "/app/../x"}, "roots: '/app/../x' is no path such as /app"),
        ({"app": "/a\tb"}, "roots: '/a\\tb' is no path such as /app"),
        ({"app": "/x", "data": "/X"}, "roots: /X is already the path of app"),
    ],
)
def test_what_can_be_no_root(tmp_path: Path, roots: Mapping[str, str], said: str) -> None:
    board = QuickBoard(tmp_path)
    before = dict(board.roots)
    with pytest.raises(ValueError) as caught:
        DictionaryOTA(board=board, roots=roots)
    assert str(caught.value) == said
    assert board.roots == before


def test_a_file_has_one_name_only(folder: Path) -> None:
    """If one root lies inside another, its files are not named by that one, too."""
    ota = ota_on(folder, roots={"app": str(folder / "flash/data/app")})
    (folder / "flash/data/app").mkdir(parents=True)
    twice = {**OLD, "flash/data/app/main.py": b"x\n"}
    ota.served = contents(manifest(OLD, twice), twice)
    with pytest.raises(ota_errors.ManifestError, match="has a forbidden path: flash/"):
        ota.update()


def test_a_device_without_the_root_refuses_its_files(folder: Path) -> None:
    with pytest.raises(ota_errors.ManifestError, match="outside the roots: app/"):
        ota_on(folder, roots=None).update()
    assert files_of(folder) == OLD


def test_a_root_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ota_errors.SpaceError, match="there is no file system at /nowhere"):
        ota_on(folder, roots={"app": "/nowhere"}).update()


@pytest.mark.parametrize(("app_blocks", "fits"), [(512, False), (513, True)])
def test_roots_on_one_file_system_share_its_space(
    folder: Path, monkeypatch: pytest.MonkeyPatch, app_blocks: int, fits: bool
) -> None:
    """Each of the two files needs some 40 blocks. One file system is told by its size."""
    total_blocks = {"flash": 512, "app": app_blocks}

    def statvfs(path: str) -> tuple[int, ...]:
        return 4096, 4096, total_blocks[Path(path).name], 60, 60

    monkeypatch.setattr(ota_store.os, "statvfs", statvfs)
    tree = {"flash/x.bin": bytes(120_000), "app/x.bin": b"x" * 120_000}
    ota = ota_on(folder)
    ota.served = contents(manifest({}, tree), tree)
    with pytest.raises(Reset if fits else ota_errors.SpaceError):
        ota.update()


# Updates, and what becomes of them at boot


def test_a_boot_uses_the_roots_of_the_update(folder: Path) -> None:
    update(ota_on(folder))
    assert files_of(folder) == NEW
    board = QuickBoard(folder)
    assert ota_recovery.recover(board) == "trial"
    assert ota_on(folder).confirm()
    assert files_of(folder) == NEW
    assert [path.name for path in (folder / "app/.ota").iterdir()] == []
    assert ota_recovery.recover(board) == "idle"


@pytest.mark.parametrize("roots", [None, {"app": "/other"}, {"data": "/data"}])
def test_an_application_that_has_other_roots_by_now_goes_back_all_the_same(
    folder: Path, roots: Mapping[str, str] | None
) -> None:
    """The release on trial brings it; what it has to undo is what the one before did."""
    update(ota_on(folder))
    with pytest.raises(Reset):
        ota_on(folder, roots=roots).rollback()
    assert ota_recovery.recover(QuickBoard(folder)) == "idle"
    assert files_of(folder) == OLD
    assert [path.name for path in (folder / "app/.ota").iterdir()] == []


def test_roots_of_an_update_that_is_over_do_not_count(folder: Path) -> None:
    """The same object confirms an update and makes the next one, with roots of its own."""
    update(ota_on(folder))
    (folder / "other").mkdir()
    ota = ota_on(folder, roots={"app": str(folder / "other")})
    assert ota.confirm()
    later = {"app/later.py": b"later\n"}
    ota.served = contents(
        manifest({}, later, version="1.0.2", base="1.0.1"), later, version="1.0.2"
    )
    update(ota)
    assert (folder / "other/later.py").read_bytes() == b"later\n"


def test_a_journal_without_roots_is_read(folder: Path) -> None:
    """Most devices have none."""
    tree = {"flash/x.py": b"x\n"}
    ota = ota_on(folder, roots=None)
    ota.served = contents(manifest({}, tree), tree)
    update(ota)
    header = (folder / "flash/.ota/journal").read_bytes().splitlines()[0]
    assert header.split(b"\t")[7:] == [b"+move=flash", b"+move=sd"]
    assert ota_recovery.recover(QuickBoard(folder)) == "trial"


# Power cuts


class PowerCut(BaseException):
    pass


class CutBoard(QuickBoard):
    """Loses its power at one of the moments between two steps of an update."""

    def __init__(self, folder: Path, left: int) -> None:
        super().__init__(folder)
        self.left = left

    def feed_watchdog(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def sync(self) -> None:
        self.feed_watchdog()


def run_until_cut(folder: Path, left: int, ends_by: str) -> bool:
    """Update, and confirm or roll back; return whether the power was cut before the end."""
    board = CutBoard(folder, left)
    try:
        for step in ("update", ends_by):
            try:
                getattr(ota_on(folder, board), step)()
            except Reset:
                ota_recovery.recover(board)
    except PowerCut:
        return True
    except Reset:
        pass
    return False


@pytest.mark.parametrize("ends_by", ["confirm", "rollback"])
def test_power_cuts(tmp_path: Path, ends_by: str) -> None:
    """Whenever the power goes, boot.py, which knows of no roots, brings it to an end."""
    cut = 0
    states = set()
    while True:
        folder = tmp_path / str(cut)
        put(folder, OLD)
        if not run_until_cut(folder, cut, ends_by):
            break
        for _ in range(4):
            try:
                state = ota_recovery.recover(QuickBoard(folder))
                break
            except Reset:
                continue
        states.add(state)
        assert state in ("idle", "trial"), cut
        found = files_of(folder)
        assert found == NEW if state == "trial" else found in (OLD, NEW), cut
        cut += 1
    assert cut > 40
    assert states == {"idle", "trial"}


# On a board


@pytest.fixture
def badge(tmp_path: Path) -> SimulatedBoard:
    """A stock ESP32 whose application lies in /app, and is told so in main.py alone."""
    board = SimulatedBoard(tmp_path, "esp32")
    main_py = (EXAMPLES / POLLING).read_bytes()
    main_py = main_py.replace(b"log=print)", b'log=print, roots={"app": "/app"})')
    assert b"roots=" in main_py
    board.old = {**board.old, "flash/main.py": main_py, "app/badge.py": b"OLD = 1\n"}
    board.new = {**board.old, "app/badge.py": b"NEW = 1\n", "app/lib/x.py": b"X = 1\n"}
    # On the chip, /app is a folder of the flash.
    board.put({on_chip(path): content for path, content in board.old.items()})
    return board


def on_chip(path: str) -> str:
    return "flash/" + path if path.startswith("app/") else path


def holds(board: SimulatedBoard, tree: Mapping[str, bytes]) -> bool:
    return board.tree() == {on_chip(path): content for path, content in tree.items()}


@pytest.mark.real
def test_a_badge_is_updated(badge: SimulatedBoard) -> None:
    badge.update()
    with badge.offers_nothing() as server:
        boot = badge.start(server.port)
    assert "update: installed 1.0.1" in boot.lines
    assert holds(badge, badge.new)


@pytest.mark.real
def test_a_badge_s_bad_release_is_rolled_back(badge: SimulatedBoard) -> None:
    badge.new["flash/main.py"] = b"raise ValueError('bad release')\n"
    badge.update()
    badge.start_until_idle(minutes=75)
    assert holds(badge, badge.old)


@pytest.mark.real
def test_a_badge_whose_power_is_cut_while_it_installs(badge: SimulatedBoard) -> None:
    badge.update(image=None)
    journal = badge.file("flash/.ota/journal")
    # As it was once the journal had been written, with half of the files in place.
    end = journal.index(b"\n", journal.index(b"\nend\t") + 1) + 1
    badge.put({"flash/.ota/journal": journal[:end]})
    for path in ("app/badge.py", "app/lib/x.py"):
        sha256 = hashlib.sha256(badge.new[path]).hexdigest()
        (badge.folder / "flash" / path).rename(badge.folder / "flash/app/.ota" / sha256[:24])
    assert badge.start().was_reset
    assert holds(badge, badge.new)
