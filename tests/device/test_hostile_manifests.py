"""Manifests that ask for what no update may do, or that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import raw_server
from tests.support.device import Device
from tests.support.file_names import FoldingOS
from tests.support.library import DictionaryOTA, QuickBoard, Reset, ota_files
from tests.support.update_tree import FIRMWARE, NEW, OLD, content_entry, contents, manifest

import ota_rules  # isort: skip
import ota_errors  # isort: skip  (tests.support.library has put it within reach)

CONTENT = b"content\n"


@pytest.fixture
def ota(tmp_path: Path) -> DictionaryOTA:
    for path, content in {**OLD, "flash/OTA_VERSION.py": b"VERSION = '1.0.0'\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return DictionaryOTA(board=QuickBoard(tmp_path))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".ota" not in path.parts
    }


def refuse(
    ota: DictionaryOTA,
    tmp_path: Path,
    text: object,
    error: type[Exception] = ota_errors.ManifestError,
) -> str:
    """The manifest is refused, and nothing outside the library's own folder changes."""
    before = tree(tmp_path)
    ota.served = contents(manifest(OLD, NEW), NEW)
    ota.served["/x"] = CONTENT
    ota.served["/manifest.json"] = text if isinstance(text, bytes) else json.dumps(text).encode()
    with pytest.raises(error) as caught:
        ota.update()
    assert tree(tmp_path) == before
    assert not (tmp_path / "flash/.ota/journal").exists()
    return str(caught.value)


def with_file(**changes: object) -> dict[str, Any]:
    """A good manifest but for one entry; None takes a member away."""
    entry = content_entry("http://h/x", CONTENT) | {"dst_path": "flash/x.py"} | changes
    entry = {name: value for name, value in entry.items() if value is not None}
    return {"delete": [], "new": [entry], "update": [], "version": "1.0.1"}


def test_the_unchanged_one_is_good(ota: DictionaryOTA, tmp_path: Path) -> None:
    ota.served = {"/x": CONTENT, "/manifest.json": json.dumps(with_file()).encode()}
    with pytest.raises(Reset):
        ota.update()
    assert (tmp_path / "flash/x.py").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "path",
    [
        "etc/passwd", "/etc/passwd", "//flash/x", "flash", "flash/", "flash//x", "flash/../x",
        "flash/a/../../x", "../flash/x", "flash/./x", "x.py", "", "flash/a\u0000b", "flash/a\nb",
        "flash/a\tb", "flash\\x", "flash/a:b", "flash/.ota/journal", "flash/.OTA/journal",
        "sd/.ota/x", "flash/lib/ota_prev.py", "flash/" + "x" * 300, "flash/" + "d/" * 120 + "x",
        "flash/.ota./journal", "flash/.ota /journal", "flash/x.", "flash/x ", "flash/lib./x",
        "flash/OTA~1/journal", "flash/lib/OTA_PREV.py", "flash/" + "\u00e9" * 51 + ".py",
        "flash/" + "\u00e9" * 49 + "/" + "\u00e9" * 49,
        None, 7, ["flash/x"], {"a": 1}, True,
    ],
)  # fmt: skip
def test_paths(ota: DictionaryOTA, tmp_path: Path, path: object) -> None:
    refuse(ota, tmp_path, with_file(dst_path=path))
    refuse(ota, tmp_path, {"delete": [path], "new": [], "update": [], "version": "1.0.1"})


@pytest.mark.parametrize(
    "changes",
    [
        {"size": -1}, {"size": "8"}, {"size": 8.0}, {"size": True}, {"size": None},
        {"size": 10**30}, {"sha256": None}, {"sha256": "abc"}, {"sha256": "G" * 64},
        {"sha256": "A" * 64}, {"sha256": 5}, {"sha256": "-"}, {"URL": "-", "sha256": "-"},
        {"URL": None}, {"URL": 5}, {"URL": "x"},
        {"URL": "http://h"}, {"URL": "http://h/a b"}, {"URL": "http://h/a\r\nHost: x"},
        {"URL": "http://h/\u00e9"}, {"URL": "http://h/" + "x" * 2000},
    ],
)  # fmt: skip
def test_entries(ota: DictionaryOTA, tmp_path: Path, changes: dict[str, Any]) -> None:
    refuse(ota, tmp_path, with_file(**changes))


@pytest.mark.parametrize(
    "version",
    [None, 1, "", "x" * 65, "1'; import os #", '1"', "1\\", "1\n2", "1\t2", ["1"], {"v": 1}],
)
def test_versions(ota: DictionaryOTA, tmp_path: Path, version: object) -> None:
    refuse(ota, tmp_path, {**with_file(), "version": version})
    firmware = content_entry("http://h/x", CONTENT) | {"version": version}
    refuse(ota, tmp_path, {**with_file(), "firmware": firmware})


@pytest.mark.parametrize("previous", ["0.9", "1.0.0.0", 1, ""])
def test_manifest_for_another_version(
    ota: DictionaryOTA, tmp_path: Path, previous: object
) -> None:
    refuse(ota, tmp_path, {**with_file(), "previous_version": previous})


ENTRY = with_file()["new"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"new": [ENTRY, ENTRY]},
        {"update": [ENTRY]},
        {"delete": ["flash/x.py"]},
        {"delete": ["flash/a", "flash/a"]},
        {"delete": ["flash/b", "flash/a"]},
        {"new": [ENTRY, ENTRY | {"dst_path": "flash/a.py"}]},
        {"new": ENTRY},
        {"new": [[ENTRY]]},
        {"new": ["flash/x.py"]},
        {"new": None},
        {"delete": "flash/x"},
        {"delete": ["flash/boot.py"]},
        {"delete": ["flash/lib/ota_recovery.py"]},
        {"delete": ["flash/lib/ota_boot.mpy"]},
        {"delete": ["flash/BOOT.PY"]},
        {"delete": ["flash/lib/OTA_BOOT.PY"]},
        {"delete": ["flash/lib/Ota_Recovery.mpy"]},
        {"delete": ["flash/lib"]},
        {"new": [ENTRY | {"dst_path": "flash/lib"}]},
        {"new": [ENTRY | {"dst_path": "flash/main.py/x"}]},
        {"update": [ENTRY | {"dst_path": "flash/boot.py"}]},
        {"firmware": []},
        {"firmware": "1.0.1"},
    ],
)
def test_lists(ota: DictionaryOTA, tmp_path: Path, changes: dict[str, Any]) -> None:
    refuse(ota, tmp_path, {**with_file(), **changes})


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"nul", b"nullx", b"null null", b"true", b"17", b'"text"', b"[]", b"{}",
        b"{", b"html>", b"{'version': '1'}", b'{"version": "1.0.1"', b'{"version" "1.0.1"}',
        b'{"version": "1.0.1",}', b'{"version": "1.0.1"} x',
        b'{"version": "1.0.1", "version": "1"}',
        b'{"version": "\xff"}', b'{"version": "\\ud800"}', b'{"version": "\\udc00x"}',
        b'{"version": "\\u12"}', b'{"version": "\\x"}', b'{"version": "1\x00"}', b"\x00" * 100,
        b'{"version": --1}', b'{"version": "\\u-001"}', b'{"version": "\\u 001"}',
        b'{"version": "\\u\x10\x10\x10\x10"}', b'{"a": -, "version": 5}',
        b'{"new": [{"size": --5}], "version": "1"}', '{"version": \u00b2}'.encode(),
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b', "version": "1.0.1"}',
        b'{"a": ' + b'{"a":' * 5000, b'{"a": "' + b"x" * 2000 + b'", "version": "1.0.1"}',
        b'{"a": @@, "version": "1.0.1"}', b'{"a": nope, "version": "1.0.1"}',
        b'{"a": [1-2], "version": "1.0.1"}', b'{"a": e, "version": "1.0.1"}',
        b'{"a": NaN, "version": "1.0.1"}', b'{"a": 1_0, "version": "1.0.1"}',
        b'{"a": {"b": }, "version": "1.0.1"}', b'{"version": "\\ud83d\\u0041"}',
        b'{"version": "\\ud83d\\ud83d"}', b'{"version": "\\ud83dxx"}',
        b'{"a": ' + b"1" * 2000 + b', "version": "1.0.1"}',
    ],
)  # fmt: skip
def test_texts(ota: DictionaryOTA, tmp_path: Path, text: bytes) -> None:
    refuse(ota, tmp_path, text)


def test_a_list_twice_after_many_unknown_members(ota: DictionaryOTA, tmp_path: Path) -> None:
    junk = "".join(f'"j{n}": 1, ' for n in range(100))
    text = '{"new": [], ' + junk + '"new": [], "version": "1.0.1"}'
    assert "twice" in refuse(ota, tmp_path, text.encode())


def test_what_the_library_does_not_know_is_passed_over(ota: DictionaryOTA, tmp_path: Path) -> None:
    made = {"zeta": [1.5e3, {"a": [None, True, "\u20ac\U0001f600"]}], **with_file(extra={"b": []})}
    ota.served = {"/x": CONTENT, "/manifest.json": json.dumps(made).encode()}
    with pytest.raises(Reset):
        ota.update()


def test_a_manifest_larger_than_the_limit(ota: DictionaryOTA, tmp_path: Path) -> None:
    ota.manifest_limit_bytes = 1000
    text = b'{"a": [' + b"1," * 1000 + b'1], "version": "1.0.1"}'
    assert "larger than the limit" in refuse(ota, tmp_path, text)


def test_an_update_larger_than_the_flash(ota: DictionaryOTA, tmp_path: Path) -> None:
    refuse(ota, tmp_path, with_file(size=10**15), ota_errors.SpaceError)


def test_a_card_that_is_not_there(ota: DictionaryOTA, tmp_path: Path) -> None:
    ota.board.roots["sd"] = str(tmp_path / "nowhere")
    refuse(ota, tmp_path, with_file(dst_path="sd/x"), ota_errors.SpaceError)


def test_a_release_that_brings_its_own_version_record(ota: DictionaryOTA, tmp_path: Path) -> None:
    made = with_file(dst_path="flash/OTA_VERSION.py")
    ota.served = {"/x": CONTENT, "/manifest.json": json.dumps(made).encode()}
    with pytest.raises(Reset):
        ota.update()
    assert b"VERSION = '1.0.1'\n" in (tmp_path / "flash/OTA_VERSION.py").read_bytes()
    assert CONTENT not in (tmp_path / "flash/OTA_VERSION.py").read_bytes()


@pytest.mark.real
@pytest.mark.parametrize("transport", ["ftp"])
def test_line_ends_in_an_ftp_name(device: Device) -> None:
    device.install(OLD, "1.0.0")
    made = json.dumps(with_file(URL="http://h/x%0d%0aDELE%20y")).encode()
    with raw_server("ftp", {"/manifest.json": made, "/x": CONTENT}) as server:
        device.port = server.port
        assert device.boot("update").last("error").startswith("ServerError")
        assert not any("DELE" in request for request in server.requests)


@pytest.mark.real
@pytest.mark.parametrize(
    "text, error",
    [
        (b'{"a": ' + b"[" * 100_000, "ManifestError"),
        (b'{"delete": [' + b",".join(b'"flash/%07d"' % n for n in range(70_000)), "ManifestError"),
        (b'{"' + b"a" * 1_000_000, "ManifestError"),
        (b" " * 1_100_000, "ManifestError"),
    ],
    ids=["deep", "many", "long", "blank"],
)
def test_huge_ones_fit_in_little_memory(device: Device, text: bytes, error: str) -> None:
    device.heap = "160k"
    device.install(OLD, "1.0.0")
    with raw_server(device.transport, {"/manifest.json": text}) as server:
        device.port = server.port
        assert device.boot("update", attempts=1).last("error").startswith(error)
    assert device.tree() == OLD


@pytest.mark.real
def test_firmware_that_is_no_image(device: Device) -> None:
    device.install(OLD, "1.0.0")
    image = b"\x7fELF" + FIRMWARE[4:]
    with raw_server(device.transport, contents(manifest(OLD, NEW, image), NEW, image)) as server:
        device.port = server.port
        assert device.boot("update").last("error").startswith("FirmwareError")
    assert device.tree() == OLD


@pytest.mark.parametrize("path", ["flash/sd/x", "flash/SD/x", "flash/flash/x"])
def test_paths_that_are_others_where_flash_is_the_root(path: str) -> None:
    roots = {"flash": "", "sd": "/sd"}
    with pytest.raises(ota_errors.ManifestError):
        ota_rules.checked_path(path, roots)
    assert ota_rules.checked_path(path, {"flash": "/flash", "sd": "/sd"}) == path


@pytest.fixture
def folding(ota: DictionaryOTA, monkeypatch: pytest.MonkeyPatch) -> DictionaryOTA:
    monkeypatch.setattr(ota_files, "os", FoldingOS())
    return ota


@pytest.mark.parametrize(
    "changes",
    [
        {"new": [ENTRY | {"dst_path": "flash/MAIN.py"}]},
        {"delete": ["flash/Main.py"], "new": []},
        {"delete": ["flash/LIB/same.py"], "new": []},
        {"new": [ENTRY | {"dst_path": "flash/Lib/x.py"}]},
    ],
)
def test_other_letters_of_a_name_that_is_there(
    folding: DictionaryOTA, tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert "whose case differs" in refuse(folding, tmp_path, {**with_file(), **changes})


def test_letters_matter_where_the_file_system_says_so(ota: DictionaryOTA, tmp_path: Path) -> None:
    ota.served = {"/x": CONTENT}
    made = {**with_file(), "new": [ENTRY | {"dst_path": "flash/MAIN.py"}]}
    ota.served["/manifest.json"] = json.dumps(made).encode()
    with pytest.raises(Reset):
        ota.update()
    assert (tmp_path / "flash/MAIN.py").read_bytes() == CONTENT
    assert (tmp_path / "flash/main.py").read_bytes() == OLD["flash/main.py"]


def test_boot_py_may_change_as_long_as_it_calls_ota_boot(
    ota: DictionaryOTA, tmp_path: Path
) -> None:
    boot_py = b"import time\nimport ota_boot\nota_boot.run()\n"
    entry = content_entry("http://h/boot", boot_py) | {"dst_path": "flash/boot.py"}
    ota.served = {"/boot": boot_py}
    ota.served["/manifest.json"] = json.dumps(
        {**with_file(), "new": [], "update": [entry]}
    ).encode()
    with pytest.raises(Reset):
        ota.update()
    assert (tmp_path / "flash/boot.py").read_bytes() == boot_py


def test_what_the_release_has_not_is_left_to_the_device(
    ota: DictionaryOTA, tmp_path: Path
) -> None:
    """A version record that is no text does not stop the device from being updated."""
    (tmp_path / "flash/OTA_VERSION.py").write_bytes(b"\xff\xfe\x00")
    assert ota.versions() == (None, None)
    ota.served = {"/x": CONTENT, "/manifest.json": json.dumps(with_file()).encode()}
    with pytest.raises(Reset):
        ota.update()


class TestAfterARollback:
    @pytest.fixture
    def rolled_back(self, ota: DictionaryOTA) -> DictionaryOTA:
        self.offer(ota, "1.0.1")
        with pytest.raises(Reset):
            ota.update()
        with pytest.raises(Reset):
            ota.rollback()
        assert ota.outcome() == ("rolled back", "1.0.1", "", "requested")
        return ota

    def offer(self, ota: DictionaryOTA, version: str) -> None:
        made = {**with_file(), "version": version}
        ota.served = {"/x": CONTENT, "/manifest.json": json.dumps(made).encode()}

    def test_the_same_release_is_left_alone(self, rolled_back: DictionaryOTA) -> None:
        said: list[str] = []
        rolled_back.log = said.append
        assert rolled_back.update() is False
        assert said == ["1.0.1 is not tried again: requested"]

    def test_it_is_taken_again_if_the_application_says_so(
        self, rolled_back: DictionaryOTA, tmp_path: Path
    ) -> None:
        with pytest.raises(Reset):
            rolled_back.update(again=True)
        assert (tmp_path / "flash/x.py").read_bytes() == CONTENT

    def test_another_version_is_taken(self, rolled_back: DictionaryOTA, tmp_path: Path) -> None:
        self.offer(rolled_back, "1.0.2")
        with pytest.raises(Reset):
            rolled_back.update()
        assert (tmp_path / "flash/x.py").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [0, 10**12])
def test_a_firmware_of_no_possible_size(ota: DictionaryOTA, tmp_path: Path, size: int) -> None:
    firmware = content_entry("http://h/x", CONTENT) | {"version": "1.0.1", "size": size}
    refuse(ota, tmp_path, {**with_file(), "firmware": firmware}, ota_errors.FirmwareError)
    assert not (tmp_path / "slot1").exists()
