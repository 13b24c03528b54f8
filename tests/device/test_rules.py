"""Two entries of one manifest that are one place, and what the library's own folder may hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import raw_server
from tests.support.library import Reset, files_below, ota_recovery, put, quick_ota
from tests.support.update_tree import content_entry

import ota_errors  # isort: skip  (tests.support.library has put it within reach)

pytestmark = pytest.mark.real

OLD = {"flash/main.py": b"old\n"}
CONTENT = b"content\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, OLD)
    return tmp_path


def entry(path: str) -> dict[str, Any]:
    return content_entry("http://h/x", CONTENT) | {"dst_path": path}


def update(folder: Path, **lists: object) -> None:
    made = {"delete": [], "new": [], "update": [], "version": "1.0.1", **lists}
    served = {"/manifest.json": json.dumps(made).encode(), "/x": CONTENT}
    with raw_server("http", served) as server:
        quick_ota(folder, "http", server.port).update()


@pytest.mark.parametrize(
    "lists",
    [
        {"new": [entry("/flash/x")], "update": [entry("flash/x")]},
        {"new": [entry("/flash/x"), entry("flash/x")]},
        {"delete": ["/flash/main.py"], "update": [entry("flash/main.py")]},
        {"delete": ["/flash/main.py", "flash/main.py"]},
    ],
)
def test_a_path_with_a_slash_is_the_one_without(folder: Path, lists: dict[str, list[Any]]) -> None:
    with pytest.raises(ota_errors.ManifestError):
        update(folder, **lists)
    assert files_below(folder) == OLD


@pytest.mark.parametrize(
    "lists",
    [
        {"new": [entry("flash/a"), entry("flash/a/b")]},
        {"new": [entry("flash/a"), entry("flash/a-b"), entry("flash/a/b")]},
        {"new": [entry("flash/a")], "update": [entry("flash/a/b/c")]},
    ],
)
def test_a_file_is_no_folder_of_another(folder: Path, lists: dict[str, list[Any]]) -> None:
    with pytest.raises(ota_errors.ManifestError):
        update(folder, **lists)
    assert files_below(folder) == OLD


def test_old_clients_paths_begin_with_a_slash(folder: Path) -> None:
    with pytest.raises(Reset):
        update(folder, new=[entry("/flash/x")], delete=["/flash/main.py"])
    assert files_below(folder) == {"flash/x": CONTENT}


@pytest.mark.parametrize("name", ["source", "outcome", "draft", "manifest", "slot", "journal"])
@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"", b"\t" * 9, b"x" * 5000])
def test_damage_in_the_library_s_own_files_stops_no_update(
    folder: Path, name: str, damage: bytes
) -> None:
    (folder / "flash/.ota").mkdir()
    (folder / "flash/.ota" / name).write_bytes(damage)
    with pytest.raises(Reset):
        update(folder, new=[entry("flash/x")])
    ota = quick_ota(folder, "http", 9)
    assert ota_recovery.recover(ota.board) == "trial"
    assert ota.confirm()
    assert files_below(folder) == {**OLD, "flash/x": CONTENT}


@pytest.mark.parametrize("note", [b"back\tasked\n", b"trial\t\n", b"boot\t\n", b"tried\t\n"])
@pytest.mark.parametrize("tail", [b"", b"\xff", b"\0" * 40])
def test_a_note_that_was_cut_short_stops_no_boot(folder: Path, note: bytes, tail: bytes) -> None:
    with pytest.raises(Reset):
        update(folder, new=[entry("flash/x")])
    journal = (folder / "flash/.ota/journal").read_bytes()
    for size in range(len(note)):
        (folder / "flash/.ota/journal").write_bytes(journal + b"\n" + note[:size] + tail)
        said: list[str] = []
        ota = quick_ota(folder, "http", 9)
        try:
            state = ota_recovery.recover(ota.board, said.append)
        except Reset:
            state = "reset"
        assert state in ("trial", "reset"), (size, said)
        assert not [line for line in said if "failed" in line]
