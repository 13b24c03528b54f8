"""The examples on simulated boards: a Pycom meter, a stock ESP32, a board without slots."""

from pathlib import Path

import pytest

from tests.support.board import BOOT_PY, IMAGE, OLD_IMAGE, SimulatedBoard
from tests.support.device import LIBRARY, Boot
from tests.support.esp_image import esp_image, full_flash_image
from tests.support.raw_servers import CLOSE, RESET

pytestmark = pytest.mark.real

# Over an hour: the alarm of a trial comes.
LONG = 75
BAD_RELEASES = {
    "raises": b"raise ValueError('bad release')\n",
    "hangs": b"import time\nwhile True:\n    time.sleep(1)\n",
}
SECOND_START = b"""
from ota_errors import FirmwareError
from ota_pycom import PycomBoard

image = open("/flash/image", "rb").read()
board = PycomBoard()
slot = board.open_slot("", "")
slot.resume(None, 0, None)
for at in range(0, len(image), 4096):
    slot.write(image[at : at + 4096])
slot.check()
board.boot_slot(slot.name)
try:
    board.open_slot("", "").resume(None, 0, None)
except FirmwareError as error:
    print("refused:", error)
"""
FORBIDDEN = {
    "undigested": ("pycom", b"import hashlib\nhashlib.sha256(b'x')\n"),
    "at address 0": ("pycom", b"import pycom\npycom.ota_write(b'x')\n"),
    "not erased": ("pycom", b"import pycom\npycom.ota_start()\npycom.ota_write(bytes(4097))\n"),
    "without a reset": ("pycom", b"import pycom\npycom.bootmgr(boot_partition=1)\n"),
    "running firmware": (
        "esp32",
        b"from esp32 import Partition\nPartition(1).writeblocks(0, bytes(4096))\n",
    ),
}
REFUSED = {
    "only one active hash": b"try:\n  hashlib.sha256()\nfinally:\n  first.digest()\n",
    "a second digest": b"first.digest()\nfirst.digest()\n",
    "an update after the digest": b"first.digest()\nfirst.update(b'x')\n",
}


@pytest.fixture
def meter(tmp_path: Path) -> SimulatedBoard:
    return SimulatedBoard(tmp_path, "pycom")


@pytest.fixture
def esp32(tmp_path: Path) -> SimulatedBoard:
    return SimulatedBoard(tmp_path, "esp32")


@pytest.fixture(params=["pycom", "esp32"])
def board(tmp_path: Path, request: pytest.FixtureRequest) -> SimulatedBoard:
    return SimulatedBoard(tmp_path, request.param)


def why_not(boot: Boot) -> str:
    """Return what the example printed of an update that failed."""
    assert not boot.was_reset
    return boot.last("no").removeprefix("update: ")


def test_meter_updates_on_a_downlink_and_confirms_when_joined(meter: SimulatedBoard) -> None:
    boot = meter.update()
    wifi = "wifi vehicle secret of the fleet"
    assert boot.all("board") == ["join", "uplink", "uplink", "uplink", wifi]
    assert meter.file("ota_0") == IMAGE
    with meter.offers_nothing() as server:
        boot = meter.start(server.port, minutes=LONG)
    assert "power off" in boot.lines
    assert boot.last("slot") == "ota_0"
    assert "update: installed 1.0.1" in boot.lines
    assert boot.all("board").count("cancelled") == 1
    assert "rings" not in boot.all("board")
    assert meter.tree() == meter.new
    record = meter.file("flash/OTA_VERSION.py")
    assert record == b"VERSION = '1.0.1'\nFIRMWARE_VERSION = '1.0.1'\n"


def test_meter_switches_wifi_off_after_an_update_that_was_none(meter: SimulatedBoard) -> None:
    with meter.offers_nothing() as server:
        boot = meter.start(server.port)
    said = boot.all("board")
    assert said.index("wifi off") == said.index("wifi vehicle secret of the fleet") + 1
    assert said.count("uplink") == 10
    assert "no update:" not in "\n".join(boot.lines)


def test_meter_lives_on_when_an_uplink_fails(meter: SimulatedBoard) -> None:
    boot = meter.start(uplink_fails=2)
    assert boot.all("no")[0].startswith("uplink:")
    assert boot.all("board").count("uplink") == 9
    assert not boot.was_reset


def test_meter_confirms_no_release_before_it_has_joined(meter: SimulatedBoard) -> None:
    meter.update()
    boots = meter.start_until_idle(lora="absent", minutes=LONG)
    assert not any("update: installed 1.0.1" in boot.lines for boot in boots)
    assert [boot.all("board").count("rings") for boot in boots[:3]] == [1, 1, 1]
    assert "bootmgr Factory" in boots[3].all("board")
    meter.is_old_again("not confirmed in 3 boots")


@pytest.mark.parametrize("bad", BAD_RELEASES)
def test_bad_release_is_ended_by_the_alarm_and_goes_back(board: SimulatedBoard, bad: str) -> None:
    board.new["flash/main.py"] = BAD_RELEASES[bad]
    board.update()
    boots = board.start_until_idle(minutes=LONG)
    rings = [boot for boot in boots if "rings" in boot.all("board")]
    # Nothing else resets: an ESP32 is set back by its bootloader between two of them.
    assert len(rings) == 3
    assert boots[-1].last("slot") == {"pycom": "Factory", "esp32": "ota_0"}[board.kind]
    assert all(boot.last("slot") != boots[-1].last("slot") for boot in rings)
    board.is_old_again("not confirmed in 3 boots")


def test_application_that_ends_by_an_error_starts_again(board: SimulatedBoard) -> None:
    """Without a trial there is no alarm: the example itself has to see to that."""
    errors = (LIBRARY / "ota_errors.py").read_bytes()
    board.put({"flash/ota_errors.py": errors + b"is_number = None\n"})
    with board.server() as server:
        boot = board.start(server.port)
    assert boot.was_reset
    assert boot.last("failed:").startswith("TypeError")


def test_meter_goes_back_to_the_other_slot_as_well(meter: SimulatedBoard) -> None:
    """The one to go back to is the factory's the first time, and ota_0 the next."""
    meter.put({"boot": b"ota_0 Factory ready", "ota_0": OLD_IMAGE, "Factory": OLD_IMAGE})
    meter.new["flash/main.py"] = BAD_RELEASES["raises"]
    meter.update()
    assert meter.file("Factory") == IMAGE
    boots = meter.start_until_idle(minutes=LONG)
    assert boots[0].last("slot") == "Factory"
    assert boots[3].all("board") == ["bootmgr ota_0"]
    assert boots[-1].last("slot") == "ota_0"
    meter.is_old_again("not confirmed in 3 boots")


def test_meter_whose_bootloader_refuses_the_firmware_goes_back(meter: SimulatedBoard) -> None:
    meter.update()
    meter.put({"ota_0": IMAGE[:-1]})
    boots = meter.start_until_idle(minutes=LONG)
    assert [boot.last("slot") for boot in boots] == ["Factory"] * len(boots)
    meter.is_old_again("not confirmed in 3 boots")


def test_meter_that_can_not_switch_to_the_firmware_goes_back(meter: SimulatedBoard) -> None:
    meter.update()
    meter.put({"ota_0": IMAGE[:-1]})
    boots = meter.start_until_idle(bootmgr="fails", minutes=LONG)
    assert len(boots) <= 3
    meter.is_old_again("the firmware does not start: ")


def test_meter_that_can_not_switch_back_keeps_the_firmware_in_the_end(
    meter: SimulatedBoard,
) -> None:
    meter.new["flash/main.py"] = BAD_RELEASES["raises"]
    meter.update()
    boots = meter.start_until_idle(bootmgr="fails", minutes=LONG)
    assert boots[-1].last("slot") == "ota_0"
    meter.is_old_again("not confirmed in 3 boots; the old firmware does not start")


def test_meter_refuses_an_image_that_its_board_finds_invalid(meter: SimulatedBoard) -> None:
    image = IMAGE[:-1] + bytes([IMAGE[-1] ^ 1])
    with meter.server(image) as server:
        boot = meter.start(server.port)
    assert why_not(boot) == "the board finds the firmware image invalid"
    assert meter.tree() == meter.old
    assert meter.start().last("slot") == "Factory"


@pytest.mark.parametrize(("ram", "slot_bytes"), [("none", 1_757_184), ("external", 2_023_424)])
def test_meter_refuses_an_image_larger_than_the_slot_before_the_first_write(
    meter: SimulatedBoard, ram: str, slot_bytes: int
) -> None:
    with meter.server(IMAGE + bytes(slot_bytes + 1 - len(IMAGE))) as server:
        boot = meter.start(server.port, ram=ram)
        assert server.requests == ["/manifest.json?current_ver=1.0.0"]
    assert "can't take the firmware" in why_not(boot)
    assert meter.file("ota_0") == b""


def test_meter_never_starts_a_second_firmware_before_a_reset(meter: SimulatedBoard) -> None:
    meter.put({"flash/main.py": SECOND_START, "flash/image": IMAGE})
    assert "firmware has already been installed" in meter.start().last("refused:")


def test_esp32_polls_and_confirms_once_it_is_on_the_network(esp32: SimulatedBoard) -> None:
    boot = esp32.update()
    assert boot.all("board") == ["wifi workshop secret", "set_boot ota_1"]
    assert esp32.file("ota_1")[: len(IMAGE)] == IMAGE
    with esp32.offers_nothing() as server:
        boot = esp32.start(server.port, minutes=LONG)
    assert boot.all("board") == ["alarm", "wifi workshop secret", "valid", "cancelled"]
    assert not boot.was_reset
    assert esp32.start().last("slot") == "ota_1"
    assert esp32.tree() == esp32.new


def test_esp32_goes_on_with_a_firmware_after_a_reset(esp32: SimulatedBoard) -> None:
    image = esp_image("1.0.1", bytes(300_000))

    kept = [250_000]

    def broken(path: str, data: bytes) -> tuple[bytes, str]:
        if not path.startswith("/firmware"):
            return data, CLOSE
        return data[: kept.pop() if kept else 0], RESET

    with esp32.server(image) as server:
        server.fault = broken
        assert "no connection" not in why_not(esp32.start(server.port))
    with esp32.server(image) as server:
        assert esp32.start(server.port).was_reset
        assert server.sent_bytes < 250_000
    assert esp32.file("ota_1")[: len(image)] == image


def test_esp32_whose_slot_holds_no_image_goes_back(esp32: SimulatedBoard) -> None:
    """set_boot validates what was written; the hash alone does not make it an image."""
    boot = esp32.update(IMAGE[:-1] + bytes([IMAGE[-1] ^ 1]))
    assert "set_boot ota_1" not in boot.all("board")
    boots = esp32.start_until_idle()
    assert boots[-1].last("slot") == "ota_0"
    esp32.is_old_again("install failed: ota_1: the bootloader finds the image invalid (-5379)")


@pytest.mark.parametrize("slots", ["factory", "ota_0"])
def test_esp32_with_one_slot_never_writes_over_it(tmp_path: Path, slots: str) -> None:
    esp32 = SimulatedBoard(tmp_path, "esp32", slots)
    with esp32.server() as server:
        boot = esp32.start(server.port)
    assert "this board can't take the firmware" in why_not(boot)
    assert esp32.file(slots) == OLD_IMAGE
    assert esp32.tree() == esp32.old


def test_esp32_with_a_factory_and_one_slot_takes_one_firmware(tmp_path: Path) -> None:
    esp32 = SimulatedBoard(tmp_path, "esp32", "factory,ota_0")
    esp32.update()
    with esp32.offers_nothing() as server:
        boot = esp32.start(server.port)
    assert boot.last("slot") == "ota_0"
    assert "update: installed 1.0.1" in boot.lines
    esp32.old, esp32.new = esp32.new, {**esp32.new, "flash/y.txt": b"y\n"}
    with esp32.server(IMAGE, version="1.0.2", base="1.0.1") as server:
        boot = esp32.start(server.port)
    assert "this board can't take the firmware" in why_not(boot)
    assert esp32.tree() == esp32.old


def test_esp32_goes_back_to_the_factory(tmp_path: Path) -> None:
    esp32 = SimulatedBoard(tmp_path, "esp32", "factory,ota_0")
    esp32.new["flash/main.py"] = BAD_RELEASES["raises"]
    esp32.update()
    assert esp32.start_until_idle(minutes=LONG)[-1].last("slot") == "factory"
    esp32.is_old_again("not confirmed in 3 boots")


def test_board_without_slots(tmp_path: Path) -> None:
    board = SimulatedBoard(tmp_path, "rp2")
    with board.server() as server:
        boot = board.start(server.port)
    assert "this board can't take the firmware" in why_not(boot)
    board.update(image=None)
    with board.offers_nothing() as server:
        board.start(server.port)
    assert board.tree() == board.new


@pytest.mark.parametrize("wifi", ["absent", "locked"])
def test_wifi_that_can_not_be_joined_is_given_up(board: SimulatedBoard, wifi: str) -> None:
    boot = board.start(wifi=wifi)
    assert why_not(boot).startswith("no connection to ")
    assert "power off" in boot.lines


def test_wifi_of_another_name_is_left_for_the_right_one(board: SimulatedBoard) -> None:
    said = board.update(wifi="guest").all("board")
    assert any(line.startswith("wifi ") for line in said)


def test_wifi_that_is_there_already_is_not_joined_again(esp32: SimulatedBoard) -> None:
    assert esp32.update(wifi="joined").all("board") == ["set_boot ota_1"]


def test_wifi_that_comes_later_is_joined_then(esp32: SimulatedBoard) -> None:
    """Also where the port is still at the join that failed, and refuses a second one."""
    with esp32.server() as server:
        boot = esp32.start(server.port, wifi="absent 3640", minutes=LONG)
    assert boot.was_reset
    # An attempt takes half a minute, and the next comes a minute later.
    assert boot.all("board").count("wifi workshop secret") > 30


def test_meter_whose_vehicle_comes_later_updates_at_the_next_downlink(
    meter: SimulatedBoard,
) -> None:
    boot = meter.start(wifi="absent")
    assert "wifi off" in boot.all("board")
    meter.update()


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_harms_a_board_fails_the_run(tmp_path: Path, what: str) -> None:
    kind, main_py = FORBIDDEN[what]
    board = SimulatedBoard(tmp_path, kind)
    board.put({"flash/main.py": main_py})
    with pytest.raises(AssertionError, match=f"violation .*{what}"):
        board.start()


@pytest.mark.parametrize("what", REFUSED)
def test_hashes_are_as_strict_as_on_a_pycom(meter: SimulatedBoard, what: str) -> None:
    first = b"import hashlib\nfirst = hashlib.sha256()\n"
    meter.put({"flash/main.py": first + REFUSED[what]})
    assert f"OSError('{what}" in meter.start().last("raised")


def test_boot_py_needs_two_lines() -> None:
    lines = [line for line in BOOT_PY.decode().splitlines() if line and line[0] != "#"]
    assert lines == ["import ota_boot", "ota_boot.run()"]


@pytest.mark.parametrize("kind", ["pycom", "esp32"])
@pytest.mark.parametrize("table_offset", [0x7000, 0x8000])
def test_an_image_of_the_whole_flash_is_refused(
    tmp_path: Path, kind: str, table_offset: int
) -> None:
    board = SimulatedBoard(tmp_path, kind)
    with board.server(full_flash_image(table_offset, table_offset + 0x8000)) as server:
        boot = board.start(server.port)
    assert "an image of the whole flash, with a partition table" in why_not(boot)
    assert board.tree() == board.old
    assert board.start().last("slot") in ("Factory", "ota_0")


def test_esp32_refuses_an_image_for_another_chip(esp32: SimulatedBoard) -> None:
    image = bytearray(IMAGE)
    image[12] = 5
    with esp32.server(bytes(image)) as server:
        boot = esp32.start(server.port)
    assert why_not(boot) == "the firmware is for chip 5, this is chip 0"
    assert esp32.file("ota_1") == b""
