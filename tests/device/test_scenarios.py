"""Updates from the real server, over each transport, on CPython and on MicroPython."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.conftest import real_server
from tests.support.device import Device
from tests.support.esp_image import esp_image
from tests.support.update_tree import FIRMWARE, NEW, OLD

pytestmark = pytest.mark.real

ODD_NAMES = {
    "flash/a-b.txt": b"sorts before a/\n",
    "flash/a/b.txt": b"sorts after a-b\n",
    "flash/100%.txt": b"percent\n",
    "flash/with space & more#.txt": b"odd\n",
    "flash/gr\u00fc\u00dfe.txt": b"not ASCII\n",
}
OTHER_FIRMWARE = esp_image("1.0.2", hashlib.shake_256(b"other").digest(9_000))
RELEASES = {
    "": {"1.0.0": OLD, "1.0.1": NEW},
    "odd/": {"1.0.0": {}, "1.0.1": ODD_NAMES},
    "firmware-only/": {"1.0.0": OLD},
    "same-files/": {"1.0.0": OLD, "1.0.1": OLD},
}
FIRMWARES = {
    "firmware_1.0.1.bin": FIRMWARE,
    "firmware-only/firmware_1.0.1.bin": FIRMWARE,
    "firmware-only/firmware_1.0.2.bin": OTHER_FIRMWARE,
    "same-files/firmware_1.0.1.bin": FIRMWARE,
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    folder = tmp_path_factory.mktemp("server")
    root = folder / "releases"
    for product, releases in RELEASES.items():
        write_releases(root / product, releases)
    for name, content in FIRMWARES.items():
        (root / name).write_bytes(content)
    with real_server(root, folder / "state") as ports:
        yield ports


@pytest.fixture
def device(device: Device, ports: dict[str, int]) -> Device:
    device.port = ports[device.transport]
    return device


def write_releases(folder: Path, releases: dict[str, dict[str, bytes]]) -> None:
    for version, tree in releases.items():
        for path, content in release(tree).items():
            target = folder / version / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def release(tree: dict[str, bytes]) -> dict[str, bytes]:
    # A release has to have at least one file.
    return {**tree, "flash/always.txt": b"there\n"}


def update(updated: Device, **options: object) -> None:
    boot = updated.boot("update", **options)
    assert boot.was_reset, boot.lines


def test_update_then_confirm(device: Device) -> None:
    device.install(release(OLD), "1.0.0")
    update(device)
    boot = device.boot("confirm")
    assert boot.last("state") == "trial"
    assert boot.last("result") == "True"
    assert boot.outcome == ("installed", "1.0.1", "1.0.0", "")
    assert boot.versions == ("1.0.1", "1.0.1")
    assert device.tree() == release(NEW)
    assert device.slot(boot.last("slot")) == FIRMWARE
    assert not (device.folder / "flash/empties").exists()
    assert not list((device.folder / "flash/.ota").glob("[0-9a-f]*"))
    assert device.boot("update").last("result") == "False"


def test_goes_back_after_so_many_boots(device: Device) -> None:
    device.install(release(OLD), "1.0.0")
    update(device, trial_boots=2)
    for _ in range(2):
        boot = device.boot()
        assert boot.last("state") == "trial"
        assert boot.last("slot") == "slot1"
    boots = [device.boot(), device.boot(), device.boot()]
    assert [boot.was_reset for boot in boots] == [True, True, False]
    assert device.tree() == release(OLD)
    assert boots[-1].versions == ("1.0.0", None)
    assert boots[-1].outcome == ("rolled back", "1.0.1", "1.0.0", "not confirmed in 2 boots")
    assert boots[-1].last("slot") == "slot0"
    assert not (device.folder / "flash/fresh").exists()


def test_goes_back_on_demand(device: Device) -> None:
    device.install(release(OLD), "1.0.0")
    update(device)
    device.boot("rollback")
    device.boot()
    boot = device.boot()
    assert device.tree() == release(OLD)
    assert boot.outcome == ("rolled back", "1.0.1", "1.0.0", "requested")
    assert "no release is on trial" in device.boot("rollback").last("error")


def test_no_update_while_one_is_on_trial(device: Device) -> None:
    device.install(release(OLD), "1.0.0")
    update(device)
    assert device.boot("update").last("error").startswith("StateError an update is on trial")


def test_first_install(device: Device) -> None:
    update(device)
    boot = device.boot("confirm")
    assert device.tree() == release(NEW)
    assert boot.outcome == ("installed", "1.0.1", "", "")


def test_unknown_base_fetches_only_what_is_missing(device: Device) -> None:
    device.install(release({**NEW, "flash/own.txt": b"of the device\n"}), "0.9")
    (device.folder / "flash/main.py").write_bytes(b"something else\n")
    boot = device.boot("update")
    fetched = {line.split(" ", 2)[2] for line in boot.all("progress")}
    assert fetched == {"flash/main.py", "firmware 1.0.1"}
    device.boot("confirm")
    assert device.tree() == release({**NEW, "flash/own.txt": b"of the device\n"})


def test_product_and_odd_names(device: Device) -> None:
    device.install(release({}), "1.0.0")
    update(device, product="odd", device="meter 7/&")
    device.boot("confirm", product="odd")
    assert device.tree() == release(ODD_NAMES)


def test_firmware_only_keeps_the_files_version(device: Device) -> None:
    device.install(release(OLD), "1.0.0", "1.0.1")
    update(device, product="firmware-only")
    boot = device.boot("confirm")
    assert boot.versions == ("1.0.0", "1.0.2")
    assert device.slot("slot1") == OTHER_FIRMWARE
    assert device.boot("update", product="firmware-only").last("result") == "False"


def test_release_with_the_same_files_comes_to_rest(device: Device) -> None:
    """A manifest that lists no file may mean either; at rest after two rounds at most."""
    device.install(release(OLD), "1.0.0")
    rounds = 0
    while device.boot("update", product="same-files").was_reset:
        device.boot("confirm")
        rounds += 1
        assert rounds <= 2
    assert device.boot().versions == ("1.0.1", "1.0.1")


def test_host_name_and_progress(device: Device) -> None:
    device.install(release(OLD), "1.0.0")
    boot = device.boot("update", host="localhost")
    assert boot.was_reset
    steps = [tuple(map(int, line.split()[:2])) for line in boot.all("progress")]
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


def test_firmware_for_a_board_that_takes_none(device: Device) -> None:
    device.install(release(OLD), "1.0.0")
    boot = device.boot("update", slot_bytes=0)
    assert boot.last("error").startswith("FirmwareError")
    assert device.tree() == release(OLD)
    assert device.boot("update", slot_bytes=0, skip_firmware=1).was_reset
    assert device.boot("confirm", slot_bytes=0).versions == ("1.0.1", None)


def test_firmware_larger_than_the_slot(device: Device) -> None:
    device.install(release(OLD), "1.0.0")
    boot = device.boot("update", slot_bytes=len(FIRMWARE) - 1)
    assert boot.last("error").startswith("FirmwareError")
    assert not (device.folder / "slot1").exists()


@pytest.fixture(scope="module")
def legacy_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    folder = tmp_path_factory.mktemp("legacy")
    write_releases(folder / "releases", RELEASES[""])
    with real_server(folder / "releases", folder / "state", "--legacy") as ports:
        yield ports


def test_legacy_server(device: Device, legacy_ports: dict[str, int]) -> None:
    """A fleet that is being moved: both libraries ask the same server."""
    device.install(release(OLD), "1.0.0")
    device.port = legacy_ports[device.transport]
    update(device)
    device.boot("confirm")
    assert device.tree() == release(NEW)
