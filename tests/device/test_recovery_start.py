"""What a boot loads: nothing without a journal, the copies of recovery if there are any."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.board import BOOT_PY, SimulatedBoard
from tests.support.device import LIBRARY
from tests.support.library import DictionaryOTA, QuickBoard, Reset, ota_recovery, put
from tests.support.update_tree import contents, manifest

pytestmark = pytest.mark.real

NOWHERE = Path("/nowhere")
MODULES = {f"flash/lib/{path.name}": path.read_bytes() for path in LIBRARY.glob("*.py")}
REPLAY = "flash/lib/ota_replay.py"
BROKEN = b"raise MemoryError('no memory for it')\n"
MAIN_PY = b"print('the application runs')\n"
MOST_RESETS = 3


@pytest.fixture
def board(tmp_path: Path) -> SimulatedBoard:
    """A board with an update that is written, but not installed."""
    made = SimulatedBoard(tmp_path, "rp2", library=NOWHERE)
    made.put({**MODULES, "flash/boot.py": BOOT_PY, "flash/main.py": MAIN_PY})
    return made


def begin_update(board: SimulatedBoard, new: dict[str, bytes]) -> None:
    """Write the journal of an update on the board's flash, and have the power fail then."""
    old = {path: (board.folder / path).read_bytes() for path in {**MODULES, **new}}
    ota = DictionaryOTA(board=QuickBoard(board.folder))
    ota.served = contents(manifest(old, {**old, **new}), new)

    class PowerCut(BaseException):
        pass

    import ota_replay

    class Cut:
        def __init__(self, journal: object) -> None:
            raise PowerCut

    kept, ota_replay.Recovery = ota_replay.Recovery, Cut
    try:
        with pytest.raises(Reset):
            ota.update()
    finally:
        ota_replay.Recovery = kept


def notes(board: SimulatedBoard) -> list[str]:
    journal = board.file("flash/.ota/journal").decode().partition("\nend\t")[2]
    return [line.split("\t")[0] for line in journal.splitlines()[1:] if line]


def test_idle_boot_loads_one_module(board: SimulatedBoard) -> None:
    for name in MODULES:
        if not name.endswith(("/ota_boot.py", "/ota_recovery.py")):
            (board.folder / name).unlink()
    assert "the application runs" in board.start().lines


def test_recovery_that_does_not_load_resets_but_not_for_ever(board: SimulatedBoard) -> None:
    begin_update(board, {"flash/main.py": MAIN_PY + b"# new\n"})
    board.put({REPLAY: BROKEN})
    boots = board.start_until_idle()
    assert [boot.was_reset for boot in boots] == [True] * MOST_RESETS + [False]
    assert notes(board) == ["unloaded"] * MOST_RESETS
    assert not any("the application runs" in boot.lines for boot in boots[:-1])
    assert any("no memory for it" in line for line in boots[0].lines)
    assert "update: not complete, but the application starts" in boots[-1].lines
    assert "the application runs" in boots[-1].lines
    # Once there is memory, it goes on.
    board.put({REPLAY: MODULES[REPLAY]})
    board.start()
    assert board.file("flash/main.py") == MAIN_PY + b"# new\n"


@pytest.mark.parametrize("kind", ["esp32", "pycom"])
def test_a_board_whose_own_part_is_missing_is_not_taken_for_another(
    tmp_path: Path, kind: str
) -> None:
    """It would forget that there is firmware, and which."""
    board = SimulatedBoard(tmp_path, kind, library=NOWHERE)
    board.put({**MODULES, "flash/boot.py": BOOT_PY, "flash/main.py": MAIN_PY})
    begin_update(board, {"flash/main.py": MAIN_PY + b"# new\n"})
    (board.folder / f"flash/lib/ota_port_{kind}.py").unlink()
    boot = board.start()
    assert boot.was_reset
    assert f"ota_port_{kind}" in "\n".join(boot.lines)
    assert notes(board) == ["unloaded"]


@pytest.mark.parametrize("name", sorted(path for path in MODULES if "ota_recovery" not in path))
def test_a_torn_module_that_the_update_replaces(board: SimulatedBoard, name: str) -> None:
    """Wherever the power went, what the journal needs is beside what is being replaced."""
    new = {path: MODULES[path] + b"# new\n" for path in MODULES if "ota_boot" not in path}
    begin_update(board, new)
    board.put({name: MODULES[name][:300]} if "ota_boot" not in name else {})
    boots = board.start_until_idle()
    assert boots[0].was_reset
    assert {path: board.file(path) for path in new} == new


def test_a_release_whose_recovery_is_broken_is_undone_by_the_old_one(
    board: SimulatedBoard,
) -> None:
    begin_update(board, {path: b"broken release\n" for path in MODULES if "ota_boot" not in path})
    boots = board.start_until_idle(minutes=75)
    assert {path: board.file(path) for path in MODULES} == MODULES, boots[-1].lines
    assert board.file("flash/.ota/outcome").startswith(b"rolled back\t1.0.1")
    assert not list((board.folder / "flash/.ota").glob("ota_*"))
    assert not list((board.folder / "flash/lib").glob("ota_prev*"))


def test_the_application_gets_the_modules_of_its_own_release(tmp_path: Path) -> None:
    """What recovery has loaded from its copies is gone, in whatever way it ends."""
    before = {name for name in sys.modules if name.startswith("ota_")}
    put(tmp_path, {"flash/x": b"old\n"})
    folder = tmp_path / "flash/.ota"
    folder.mkdir()
    shutil.copy(LIBRARY / "ota_replay.py", folder)
    (folder / "journal").write_bytes(b"torn")
    assert ota_recovery.recover(QuickBoard(tmp_path)) == "idle"
    assert {name for name in sys.modules if name.startswith("ota_")} == before
    assert str(folder) not in sys.path


def test_a_format_of_the_future_is_refused(board: SimulatedBoard) -> None:
    begin_update(board, {"flash/main.py": MAIN_PY + b"# new\n"})
    import hashlib

    head, _, _ = board.file("flash/.ota/journal").partition(b"end\t")
    head = head.replace(b"ota 2", b"ota 9")
    digest = hashlib.sha256(head).hexdigest().encode()
    board.put({"flash/.ota/journal": head + b"end\t" + digest + b"\n"})
    boots = board.start_until_idle()
    assert "the journal has the format ota 9, which is unknown" in "\n".join(boots[0].lines)
    assert board.file("flash/main.py") == MAIN_PY
