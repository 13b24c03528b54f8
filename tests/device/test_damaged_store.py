"""What the library has stored is damaged before it is used, as FAT can do."""

import builtins
import errno
from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import raw_server
from tests.support.library import TRANSPORTS, DictionaryOTA, QuickBoard, Reset, files_below, put
from tests.support.update_tree import NEW, OLD, contents, manifest

import ota_errors  # isort: skip  (tests.support.library has put it within reach)


class DamagingBoard(QuickBoard):
    """Damages one stored content at the sync before the journal is written."""

    root: Path | None = None

    def sync(self) -> None:
        if self.root:
            stored = [path for path in self.root.iterdir() if len(path.name) == 24]
            stored[0].write_bytes(b"damaged")
            self.root = None


@pytest.fixture
def ota(tmp_path: Path) -> DictionaryOTA:
    put(tmp_path, OLD)
    ota = DictionaryOTA(board=DamagingBoard(tmp_path))
    offer(ota, "1.0.1")
    return ota


def offer(ota: DictionaryOTA, version: str) -> None:
    ota.served = contents(manifest(OLD, NEW, version=version), NEW, version=version)


def damaged_update(ota: DictionaryOTA, folder: Path) -> None:
    ota.board.root = folder / ".ota"
    with pytest.raises(ota_errors.StorageError, match="was damaged and has been replaced"):
        ota.update()


@pytest.mark.parametrize("root", ["flash", "sd"])
def test_the_next_attempt_has_a_new_folder(ota: DictionaryOTA, tmp_path: Path, root: str) -> None:
    damaged_update(ota, tmp_path / root)
    assert files_below(tmp_path) == OLD
    assert (tmp_path / root / ".ota.1").is_dir()
    with pytest.raises(Reset):
        ota.update()
    assert files_below(tmp_path) == NEW


def test_a_file_of_its_own_that_can_not_be_written(
    ota: DictionaryOTA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What FatFs says of a chain of clusters that leads nowhere."""
    manifest_path = str(tmp_path / "flash/.ota/manifest")
    honest = builtins.open
    damaged = [True]

    def fail(path: str, *words: Any) -> Any:
        if damaged and str(path) == manifest_path:
            damaged.clear()
            raise OSError(errno.EIO, "EIO")
        return honest(path, *words)

    monkeypatch.setattr(builtins, "open", fail)
    with pytest.raises(ota_errors.StorageError, match="was damaged and has been replaced"):
        ota.update()
    with pytest.raises(Reset):
        ota.update()
    assert files_below(tmp_path) == NEW


def test_a_full_flash_moves_nothing(
    ota: DictionaryOTA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, *words: Any) -> Any:
        raise OSError(errno.ENOSPC, "ENOSPC")

    monkeypatch.setattr(builtins, "open", fail)
    with pytest.raises(ota_errors.StorageError):
        ota.update()
    assert not (tmp_path / "flash/.ota.1").exists()


def test_one_set_aside_before_is_left_alone(ota: DictionaryOTA, tmp_path: Path) -> None:
    for _ in range(2):
        damaged_update(ota, tmp_path / "flash")
    assert (tmp_path / "flash/.ota.2").is_dir()


@pytest.mark.parametrize("root", ["flash", "sd"])
def test_a_release_that_was_rolled_back_does_not_come_again_by_it(
    ota: DictionaryOTA, tmp_path: Path, root: str
) -> None:
    with pytest.raises(Reset):
        ota.update()
    with pytest.raises(Reset):
        ota.rollback()
    offer(ota, "1.0.2")
    damaged_update(ota, tmp_path / root)
    assert ota.outcome() == ("rolled back", "1.0.1", "1.0.0", "requested")
    offer(ota, "1.0.1")
    assert ota.update() is False


@pytest.mark.real
def test_the_transport_that_the_failed_update_dropped_is_there_again(
    tmp_path: Path, transport: str
) -> None:
    put(tmp_path, OLD)
    board = DamagingBoard(tmp_path)
    with raw_server(transport, contents(manifest(OLD, NEW), NEW)) as server:
        ota = TRANSPORTS[transport]("net", "pw", "127.0.0.1", server.port, board=board)
        board.root = tmp_path / "flash/.ota"
        with pytest.raises(ota_errors.StorageError, match="was damaged"):
            ota.update()
        with pytest.raises(Reset):
            ota.update()
    assert files_below(tmp_path) == NEW
