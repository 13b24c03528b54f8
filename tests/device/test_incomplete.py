"""A rollback that can't restore everything: nothing is lost, and it is put right later."""

import builtins
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.device import LIBRARY
from tests.support.library import (
    DictionaryOTA,
    QuickBoard,
    Reset,
    files_below,
    ota_files,
    ota_recovery,
    put,
)
from tests.support.update_tree import FIRMWARE, NEW, OLD, contents, manifest

INCOMPLETE = "0" * 64
CARD = "sd/data.bin"


class Device:
    """A device whose release is rolled back while its card is away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        put(folder, OLD)
        self.ota = DictionaryOTA(board=QuickBoard(folder), log=self.said.append)
        self.ota.served = contents(manifest(OLD, NEW), NEW)
        with pytest.raises(Reset):
            self.ota.update()
        assert files_below(folder) == NEW
        self.pull_card()
        with pytest.raises(Reset):
            self.ota.rollback()
        with pytest.raises(Reset):
            self.boot()

    def pull_card(self) -> None:
        (self.folder / "sd").rename(self.folder / "drawer")

    def insert_card(self) -> None:
        (self.folder / "drawer").rename(self.folder / "sd")

    def boot(self) -> str:
        return ota_recovery.recover(self.ota.board, self.said.append, trial_s=0)

    def stored(self) -> list[str]:
        return [path.name for path in (self.folder / "sd/.ota").iterdir() if len(path.name) == 24]


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_the_application_starts_and_the_outcome_and_the_version_say_so(device: Device) -> None:
    assert [device.boot() for _ in range(3)] == ["incomplete"] * 3
    outcome = device.ota.outcome()
    assert outcome is not None
    assert outcome[:3] == ("rolled back", "1.0.1", "1.0.0")
    assert "requested; not all could be restored: there is no" in outcome[3]
    assert device.ota.record() == {"VERSION": "1.0.0", "RELEASE": INCOMPLETE}
    assert files_below(device.folder) == {p: c for p, c in OLD.items() if p != CARD}
    with pytest.raises(Reset):
        # It doesn't stand in the way of another release, which repairs it.
        device.insert_card()
        device.ota.served = contents(manifest({}, OLD, version="1.0.0"), OLD, version="1.0.0")
        device.ota.update()


def test_each_boot_tries_again(device: Device) -> None:
    assert device.boot() == "incomplete"
    device.insert_card()
    assert len(device.stored()) == 1  # the old content, which nobody else has
    with pytest.raises(Reset):
        device.boot()
    assert device.boot() == "idle"
    assert files_below(device.folder) == OLD
    assert device.ota.record() == {"VERSION": "1.0.0"}
    assert device.ota.outcome() == ("rolled back", "1.0.1", "1.0.0", "requested")
    assert device.stored() == []


def test_notes_do_not_grow_with_the_boots(device: Device) -> None:
    device.boot()
    size_bytes = (device.folder / "flash/.ota/journal").stat().st_size
    for _ in range(5):
        device.boot()
    assert (device.folder / "flash/.ota/journal").stat().st_size == size_bytes


def test_the_next_update_brings_what_is_missing(device: Device) -> None:
    device.boot()
    shutil.rmtree(device.folder / "drawer")
    (device.folder / "sd").mkdir()
    # What a server offers to a device with another content of its version: all files.
    made = manifest({}, OLD, version="1.0.0")
    device.ota.served = contents(made, OLD, version="1.0.0")
    with pytest.raises(Reset):
        device.ota.update()
    assert device.ota.confirm()
    assert files_below(device.folder) == OLD
    assert device.ota.record() == {"VERSION": "1.0.0", "FIRMWARE_VERSION": "1.0.0"}


def test_contents_that_could_not_be_put_back_need_no_download(device: Device) -> None:
    device.boot()
    device.insert_card()
    made = manifest({}, OLD, version="1.0.0")
    device.ota.served = contents(made, OLD, version="1.0.0")
    del device.ota.served["/1.0.0/" + CARD]
    with pytest.raises(Reset):
        device.ota.update()
    assert files_below(device.folder) == OLD


def test_what_is_kept_survives_an_update_that_is_not_offered(device: Device) -> None:
    device.boot()
    device.ota.served = {"/manifest.json": b"null"}
    assert device.ota.update() is False
    device.insert_card()
    with pytest.raises(Reset):
        device.boot()
    assert files_below(device.folder) == OLD


def test_a_power_cut_before_the_version_says_so(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = open

    def cut(path: Any, mode: str = "r") -> Any:
        if str(path).endswith("OTA_VERSION.py") and "w" in mode:
            raise Reset
        return honest(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", cut)
        with pytest.raises(Reset):
            device.boot()
    assert device.boot() == "incomplete"
    assert device.ota.record() == {"VERSION": "1.0.0", "RELEASE": INCOMPLETE}


def test_a_flash_that_takes_no_note_of_an_attempt(tmp_path: Path) -> None:
    device = Device(tmp_path)
    journal = tmp_path / "flash/.ota/journal"
    journal.write_bytes(journal.read_bytes().replace(b"tried", b"other"))
    honest = open

    def full(path: Any, mode: str = "r") -> Any:
        if str(path) == str(journal) and mode == "ab":
            raise OSError(errno.ENOSPC, "ENOSPC")
        return honest(path, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", full)
        assert device.boot() == "incomplete"
    assert device.ota.record() == {"VERSION": "1.0.0", "RELEASE": INCOMPLETE}


def test_notes_do_not_grow_if_the_old_firmware_does_not_start_either(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    board = QuickBoard(tmp_path)
    ota = DictionaryOTA(board=board)
    ota.served = contents(manifest(OLD, NEW, FIRMWARE), NEW, FIRMWARE)
    with pytest.raises(Reset):
        ota.update()
    board._running = board._boot_file() or ""
    (tmp_path / "sd").rename(tmp_path / "drawer")
    with pytest.raises(Reset):
        ota.rollback()
    for _ in range(4):
        with pytest.raises(Reset):
            ota_recovery.recover(board, trial_s=0)
    assert ota_recovery.recover(board, trial_s=0) == "incomplete"
    size_bytes = (tmp_path / "flash/.ota/journal").stat().st_size
    for _ in range(3):
        assert ota_recovery.recover(board, trial_s=0) == "incomplete"
    assert (tmp_path / "flash/.ota/journal").stat().st_size == size_bytes


def test_a_dead_card_keeps_nothing_else_from_being_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, OLD)
    ota = DictionaryOTA(board=QuickBoard(tmp_path))
    ota.served = contents(manifest(OLD, NEW), NEW)
    with pytest.raises(Reset):
        ota.update()
    with monkeypatch.context() as patch:
        die(tmp_path / "sd", patch)
        with pytest.raises(Reset):
            ota.rollback()
    on_flash = {path: OLD[path] for path in OLD if path != CARD}
    assert {p: c for p, c in files_below(tmp_path).items() if p != CARD} == on_flash


def die(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a card be mounted, but answer nothing any more."""
    honest = os.stat

    def stat(path: Any, *words: Any, **options: Any) -> Any:
        if str(path).startswith(str(card)):
            raise OSError(errno.EIO, "EIO")
        return honest(path, *words, **options)

    monkeypatch.setattr(ota_files.os, "stat", stat)


def test_the_copies_of_recovery_that_go_on_are_kept_and_completed(tmp_path: Path) -> None:
    recovery, part = "flash/lib/ota_recovery.py", "flash/lib/ota_replay.py"
    replay = (LIBRARY / "ota_replay.py").read_bytes()
    old = {**OLD, recovery: b"RECOVERY = 1\n", part: replay}
    put(tmp_path, old)
    ota = DictionaryOTA(board=QuickBoard(tmp_path))
    new = {**NEW, recovery: old[recovery], part: b"REPLAY = 2\n"}
    ota.served = contents(manifest(old, new), new)
    with pytest.raises(Reset):
        ota.update()
    card = tmp_path / "sd"
    card.rename(tmp_path / "drawer")
    with pytest.raises(Reset):
        ota.rollback()
    with pytest.raises(Reset):
        ota_recovery.recover(ota.board, trial_s=0)
    assert ota_recovery.recover(ota.board, trial_s=0) == "incomplete"
    card.mkdir()
    newer = {**old, recovery: b"RECOVERY = 3\n", part: b"REPLAY = 3\n"}
    ota.served = contents(manifest({}, newer, version="1.0.2"), newer, version="1.0.2")
    with pytest.raises(Reset):
        ota.update()
    assert (tmp_path / "flash/.ota/ota_replay.py").read_bytes() == replay
    assert (tmp_path / "flash/lib/ota_prev.py").read_bytes() == b"RECOVERY = 1\n"


def test_room_for_what_goes_back_as_a_copy(tmp_path: Path) -> None:
    recovery = "flash/lib/ota_recovery.py"
    old, new = {**OLD, recovery: bytes(30_000)}, {**OLD, recovery: bytes(100)}
    put(tmp_path, old)
    ota = DictionaryOTA(board=QuickBoard(tmp_path))
    ota.served = contents(manifest(old, new), new)
    with pytest.raises(Reset):
        ota.update()
    assert (tmp_path / "flash/.ota/room").stat().st_size >= 30_000
