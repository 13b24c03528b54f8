"""What must not keep a device from further updates."""

import builtins
import errno
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otaserver.catalogue import release_rules
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
from tests.support.update_tree import NEW, OLD, contents, manifest

import ota_errors  # isort: skip  (tests.support.library has put it within reach)
import ota_rules  # isort: skip

ID, OTHER_ID = "1" * 64, "2" * 64
Fail = Callable[[str, int], None]


@pytest.fixture
def ota(tmp_path: Path) -> DictionaryOTA:
    put(tmp_path, OLD)
    made = DictionaryOTA(board=QuickBoard(tmp_path))
    made.served = contents(manifest(OLD, NEW), NEW)
    return made


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Let each attempt to open a file, or to make a folder, fail with an error."""

    def fail(path: str, number: int) -> None:
        def failing(operation: Callable[..., Any]) -> Callable[..., Any]:
            def do(at: Any, *words: Any, **options: Any) -> Any:
                if str(at) == path:
                    raise OSError(number, os.strerror(number))
                return operation(at, *words, **options)

            return do

        monkeypatch.setattr(builtins, "open", failing(open))
        monkeypatch.setattr(os, "mkdir", failing(os.mkdir))

    return fail


def offer(ota: DictionaryOTA, new: dict[str, bytes], **members: object) -> None:
    ota.served = contents(manifest(OLD, new) | members, new)


# The library itself


def test_each_module_of_the_library_is_known_to_the_rules() -> None:
    modules = {path.stem for path in LIBRARY.glob("*.py")}
    boot = {"ota_boot", "ota_recovery", *ota_files.SET}
    assert {"OTA", *boot, *(f"ota_{name}" for name in ota_rules.MODULES.split())} == modules
    names = {name.lower() for name in modules - boot}
    assert {name.rstrip(".") for name in release_rules._LIBRARY} == names
    assert {name.rstrip(".") for name in release_rules._RECOVERY} == boot


@pytest.mark.parametrize("name", ["OTA.py", "ota_http.py", "OTA.mpy"])
def test_a_release_does_not_take_the_library_away(
    ota: DictionaryOTA, tmp_path: Path, name: str
) -> None:
    path = f"flash/lib/{name}"
    put(tmp_path, {path: b"LIBRARY = 1\n"})
    offer(ota, NEW, delete=sorted([path, *OLD.keys() - NEW.keys()]))
    with pytest.raises(ota_errors.ManifestError, match=f"deletes {path}, which updates need"):
        ota.update()


def test_another_library_may_do_without_a_module(ota: DictionaryOTA, tmp_path: Path) -> None:
    path = "flash/lib/ota_http.py"
    put(tmp_path, {path: b"HTTP = 1\n"})
    new = {**NEW, "flash/lib/OTA.py": b"OTA = 2\n"}
    offer(ota, new, delete=sorted([path, *OLD.keys() - NEW.keys()]))
    with pytest.raises(Reset):
        ota.update()
    assert files_below(tmp_path) == new


def test_an_application_s_own_ota_modules_are_its_own(ota: DictionaryOTA, tmp_path: Path) -> None:
    path = "flash/lib/ota_display.py"
    put(tmp_path, {path: b"DISPLAY = 1\n"})
    offer(ota, NEW, delete=sorted([path, *OLD.keys() - NEW.keys()]))
    with pytest.raises(Reset):
        ota.update()


@pytest.mark.parametrize("name", ["ota.html", "OTA.json", "otax", "ota_boot.md"])
def test_what_is_no_module_is_no_part_of_the_library(
    ota: DictionaryOTA, tmp_path: Path, name: str
) -> None:
    path, module = f"flash/www/{name}", "flash/lib/ota_http.py"
    put(tmp_path, {path: b"1\n", module: b"HTTP = 1\n"})
    brings = {**NEW, path: b"2\n"}
    offer(ota, brings, delete=sorted([module, *OLD.keys() - NEW.keys()]))
    with pytest.raises(ota_errors.ManifestError, match=f"deletes {module}, which updates need"):
        ota.update()
    offer(ota, NEW, delete=sorted([path, *OLD.keys() - NEW.keys()]))
    with pytest.raises(Reset):
        ota.update()


# boot.py


@pytest.fixture
def no_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ota_recovery")


@pytest.mark.usefixtures("no_recovery")
class TestBootPy:
    def test_without_the_two_lines(self, ota: DictionaryOTA, tmp_path: Path) -> None:
        (tmp_path / "flash/boot.py").write_text("import network\n")
        offer(ota, {path: NEW[path] for path in NEW if path != "flash/boot.py"}, delete=[])
        with pytest.raises(ota_errors.ConfigError, match="put its two lines there"):
            ota.update()

    def test_without_boot_py(self, ota: DictionaryOTA, tmp_path: Path) -> None:
        (tmp_path / "flash/boot.py").unlink()
        offer(ota, {path: NEW[path] for path in NEW if path != "flash/boot.py"}, delete=[])
        with pytest.raises(ota_errors.ConfigError, match=r"boot\.py does not call ota_boot"):
            ota.update()

    def test_a_release_that_brings_them(self, ota: DictionaryOTA, tmp_path: Path) -> None:
        (tmp_path / "flash/boot.py").write_text("import network\n")
        with pytest.raises(Reset):
            ota.update()

    def test_a_release_that_brings_others(self, ota: DictionaryOTA, tmp_path: Path) -> None:
        (tmp_path / "flash/boot.py").write_text("import network\n")
        offer(ota, {**NEW, "flash/boot.py": b"import machine\n"})
        with pytest.raises(ota_errors.ManifestError, match=r"a boot\.py that does not call"):
            ota.update()


# Damaged files and cards


@pytest.mark.parametrize("name", ["draft", "place", "source", "slot"])
def test_a_damaged_file_of_its_own(
    ota: DictionaryOTA, tmp_path: Path, fail: Fail, name: str
) -> None:
    path = tmp_path / "flash/.ota" / name
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    fail(str(path), errno.EIO)
    with pytest.raises(ota_errors.StorageError, match="was damaged and has been replaced"):
        ota.update()


def test_a_damaged_journal(ota: DictionaryOTA, tmp_path: Path, fail: Fail) -> None:
    with pytest.raises(Reset):
        ota.update()
    fail(str(tmp_path / "flash/.ota/journal"), errno.EIO)
    with pytest.raises(ota_errors.StorageError, match="was damaged and has been replaced"):
        ota.update()
    # Nobody knows how far it had come: the next update looks at everything.
    assert ota.record()["RELEASE"] == "0" * 64


def test_a_damaged_content(ota: DictionaryOTA, tmp_path: Path, fail: Fail) -> None:
    folder = tmp_path / "flash/.ota"
    folder.mkdir()
    name = hashlib.sha256(NEW["flash/lib/added.py"]).hexdigest()[:24]
    (folder / name).write_bytes(b"part")
    fail(str(folder / name), errno.EIO)
    with pytest.raises(ota_errors.StorageError, match="was damaged and has been replaced"):
        ota.update()


def test_a_card_that_can_not_be_written_keeps_only_its_own_files_away(
    ota: DictionaryOTA, tmp_path: Path, fail: Fail
) -> None:
    fail(str(tmp_path / "sd/.ota"), errno.EROFS)
    without_card = {path: NEW[path] for path in NEW if not path.startswith("sd/")}
    ota.served = contents(manifest({p: OLD[p] for p in OLD if "sd/" not in p}, without_card), NEW)
    with pytest.raises(Reset):
        ota.update()
    assert ota.confirm()
    assert files_below(tmp_path) == {**without_card, "sd/data.bin": OLD["sd/data.bin"]}


def test_a_card_that_answers_nothing_keeps_only_its_own_files_away(
    ota: DictionaryOTA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.stat

    def stat(path: Any, *words: Any, **options: Any) -> Any:
        if str(path).startswith(str(tmp_path / "sd")):
            raise OSError(errno.EIO, "EIO")
        return honest(path, *words, **options)

    monkeypatch.setattr(ota_files.os, "stat", stat)
    without_card = {path: NEW[path] for path in NEW if not path.startswith("sd/")}
    ota.served = contents(manifest({p: OLD[p] for p in OLD if "sd/" not in p}, without_card), NEW)
    with pytest.raises(Reset):
        ota.update()
    assert ota.confirm()
    assert ota.versions()[0] == "1.0.1"


def test_a_file_that_can_not_be_read_is_not_taken_for_one_that_is_not_there(
    ota: DictionaryOTA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.stat

    def stat(path: Any, *words: Any, **options: Any) -> Any:
        if str(path) == str(tmp_path / "flash/main.py"):
            raise OSError(errno.EIO, "EIO")
        return honest(path, *words, **options)

    monkeypatch.setattr(ota_files.os, "stat", stat)
    with pytest.raises(ota_errors.StorageError, match="EIO"):
        ota.update()


# Releases that were rolled back


def roll_back(ota: DictionaryOTA) -> None:
    with pytest.raises(Reset):
        ota.update()
    with pytest.raises(Reset):
        ota.rollback()


def test_a_repaired_release_of_the_same_version_is_taken(
    ota: DictionaryOTA, tmp_path: Path
) -> None:
    offer(ota, NEW, release=ID)
    roll_back(ota)
    assert ota.update() is False
    offer(ota, NEW, release=OTHER_ID)
    with pytest.raises(Reset):
        ota.update()


def test_what_the_first_edition_rolled_back_is_known_by_its_version(
    ota: DictionaryOTA, tmp_path: Path
) -> None:
    roll_back(ota)
    (tmp_path / "flash/.ota/refused").unlink()
    assert ota.update() is False
    assert ota.outcome() == ("rolled back", "1.0.1", "1.0.0", "requested")


# Repairs and leftovers


def test_repair_asks_for_everything_and_fetches_what_drifted(
    ota: DictionaryOTA, tmp_path: Path
) -> None:
    with pytest.raises(Reset):
        ota.update()
    ota.confirm()
    (tmp_path / "flash/main.py").write_bytes(b"drifted")
    (tmp_path / "flash/lib/added.py").unlink()
    asked = []
    honest = ota.open

    def open_(path: str, offset: int) -> Any:
        asked.append(path)
        return honest(path, offset)

    ota.open = open_  # type: ignore[method-assign]
    ota.served = contents(manifest({}, NEW, base="1.0.1"), NEW)
    with pytest.raises(Reset):
        ota.update(repair=True)
    assert f"release={'0' * 64}" in asked[0]
    assert sorted(asked[1:]) == ["/1.0.1/flash/lib/added.py", "/1.0.1/flash/main.py"]
    assert files_below(tmp_path) == NEW


def test_what_an_abandoned_update_left_goes_once_nothing_is_offered(
    ota: DictionaryOTA, tmp_path: Path
) -> None:
    del ota.served["/1.0.1/sd/data.bin"]
    with pytest.raises(KeyError):
        ota.update()
    assert any(len(path.name) == 24 for path in (tmp_path / "flash/.ota").iterdir())
    ota.served = {"/manifest.json": b"null"}
    assert ota.update() is False
    assert {path.name for path in (tmp_path / "flash/.ota").iterdir()} == {"outcome", "refused"}
    assert list((tmp_path / "sd/.ota").iterdir()) == []


def test_contents_that_another_release_has_too_are_kept(
    ota: DictionaryOTA, tmp_path: Path
) -> None:
    del ota.served["/1.0.1/sd/data.bin"]
    with pytest.raises(KeyError):
        ota.update()
    new = {**NEW, "flash/main.py": b"print('newer')\n"}
    ota.served = contents(manifest(OLD, new, version="1.0.2"), new, version="1.0.2")
    del ota.served["/1.0.2/flash/lib/added.py"]  # it came with the first attempt
    with pytest.raises(Reset):
        ota.update()
    assert files_below(tmp_path) == new


# Firmware


def test_the_firmware_that_the_server_assumed_is_remembered(ota: DictionaryOTA) -> None:
    with pytest.raises(Reset):
        ota.update()
    assert ota.versions() == ("1.0.1", "1.0.0")


def test_a_board_without_slots_remembers_none(ota: DictionaryOTA) -> None:
    ota.board.takes_firmware = False
    with pytest.raises(Reset):
        ota.update()
    assert ota.versions() == ("1.0.1", None)


def test_recovery_is_idle_after_all_of_it(ota: DictionaryOTA) -> None:
    roll_back(ota)
    assert ota_recovery.recover(ota.board) == "idle"
