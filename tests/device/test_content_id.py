"""A device says which content of its version it has, so that the server can mend another."""

from pathlib import Path

import pytest

from tests.device.conftest import raw_server, real_server
from tests.support.device import Device
from tests.support.library import Reset, files_below, put, quick_ota
from tests.support.trees import write_tree
from tests.support.update_tree import FIRMWARE, NEW, OLD, contents, manifest

import ota_errors  # isort: skip  (tests.support.library has put it within reach)

pytestmark = pytest.mark.real

ID, OTHER_ID = "0123456789abcdef" * 4, "f" * 64
RECORD = "flash/OTA_VERSION.py"


def record(folder: Path) -> str:
    return (folder / RECORD).read_text()


def test_it_is_kept_and_sent(device: Device) -> None:
    device.install(OLD, "1.0.0")
    served = contents({**manifest(OLD, NEW, FIRMWARE), "release": ID}, NEW, FIRMWARE)
    with raw_server(device.transport, served) as server:
        device.port = server.port
        assert device.boot("update").was_reset
        device.boot("confirm")
        assert record(device.folder) == (
            f"VERSION = '1.0.1'\nFIRMWARE_VERSION = '1.0.1'\nRELEASE = '{ID}'\n"
        )
        server.served = {"/manifest.json": b"null"}
        device.boot("update")
        asked = [one for one in server.requests if "manifest" in one]
    assert asked[-1].endswith(f"?current_ver=1.0.1&firmware_ver=1.0.1&release={ID}")


def test_firmware_alone_leaves_it(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    (tmp_path / RECORD).write_text(f"VERSION = '1.0.0'\nRELEASE = '{ID}'\n")
    served = contents(manifest({}, {}, FIRMWARE), {}, FIRMWARE)
    with raw_server("http", served) as server, pytest.raises(Reset):
        quick_ota(tmp_path, "http", server.port).update()
    assert f"RELEASE = '{ID}'\n" in record(tmp_path)


def test_files_of_a_server_that_tells_none_take_it_away(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    (tmp_path / RECORD).write_text(f"VERSION = '1.0.0'\nRELEASE = '{ID}'\n")
    with raw_server("http", contents(manifest(OLD, NEW), NEW)) as server, pytest.raises(Reset):
        quick_ota(tmp_path, "http", server.port).update()
    assert record(tmp_path) == "VERSION = '1.0.1'\nFIRMWARE_VERSION = '1.0.0'\n"


def test_it_goes_back_with_the_files(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    old_record = f"VERSION = '1.0.0'\nRELEASE = '{OTHER_ID}'\n"
    (tmp_path / RECORD).write_text(old_record)
    served = contents({**manifest(OLD, NEW), "release": ID}, NEW)
    with raw_server("http", served) as server:
        ota = quick_ota(tmp_path, "http", server.port)
        for action in (ota.update, ota.rollback):
            with pytest.raises(Reset):
                action()
    assert record(tmp_path) == old_record


@pytest.mark.parametrize("found", ["beta", "0" * 63, "G" * 64, ID.upper()])
def test_what_is_none_is_not_sent(tmp_path: Path, found: str) -> None:
    put(tmp_path, OLD)
    (tmp_path / RECORD).write_text(f"VERSION = '1.0.0'\nRELEASE = '{found}'\n")
    with raw_server("http", {"/manifest.json": b"null"}) as server:
        assert quick_ota(tmp_path, "http", server.port).update() is False
        assert server.requests == ["/manifest.json?current_ver=1.0.0"]


@pytest.mark.parametrize("sent", ["beta", "'; import os #", 5, ID.upper(), [ID]])
def test_what_is_none_is_not_taken(tmp_path: Path, sent: object) -> None:
    put(tmp_path, OLD)
    served = contents({**manifest(OLD, NEW), "release": sent}, NEW)
    with raw_server("http", served) as server, pytest.raises(ota_errors.ManifestError):
        quick_ota(tmp_path, "http", server.port).update()
    assert files_below(tmp_path) == OLD


def test_a_release_that_was_changed_is_mended(tmp_path: Path, transport: str) -> None:
    """The real server offers a device with another content of its version what it lacks."""
    device, root = tmp_path / "device", tmp_path / "releases"
    put(device, OLD)
    for version, tree in (("1.0.0", OLD), ("1.0.1", NEW)):
        write_tree(root / version, tree)
    with real_server(root, tmp_path / "state") as ports:
        ota = quick_ota(device, transport, ports[transport], timeout_s=5)
        with pytest.raises(Reset):
            ota.update()
        ota.confirm()
        assert ota.update() is False
        mended = {**files_below(device), "flash/main.py": NEW["flash/main.py"]}
        (device / RECORD).write_text(f"VERSION = '1.0.1'\nRELEASE = '{OTHER_ID}'\n")
        (device / "flash/main.py").write_bytes(b"drifted\n")
        with pytest.raises(Reset):
            ota.update()
        ota.confirm()
        assert files_below(device) == mended
        assert ota.update() is False
