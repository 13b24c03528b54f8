"""The examples on simulated boards: a Pycom meter, a stock ESP32, a board without slots."""

import subprocess
from pathlib import Path

import pytest

from tests.device.conftest import raw_server
from tests.support.device import LIBRARY, Boot, interpreter_command
from tests.support.esp_image import esp_image
from tests.support.micropython import PROJECT
from tests.support.raw_servers import CLOSE, RESET
from tests.support.update_tree import contents, manifest

EXAMPLES = LIBRARY / "examples"
RUN = PROJECT / "tests" / "support" / "board_run.py"
BOOT_PY = (EXAMPLES / "boot.py").read_bytes()
IMAGE = esp_image("1.0.1", b"firmware " * 3000)


class BoardUnderTest:
    """A simulated board that runs an example against a server."""

    def __init__(self, folder: Path, kind: str, example: str):
        self.folder = folder
        self.kind = kind
        main_py = (EXAMPLES / example).read_bytes()
        self.old = {"flash/boot.py": BOOT_PY, "flash/main.py": main_py}
        self.new = {**self.old, "flash/main.py": main_py + b"# 1.0.1\n", "flash/x.txt": b"x\n"}
        for path, content in {**self.old, "flash/OTA_VERSION.py": b"VERSION = '1.0.0'\n"}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    def start(self, port: int) -> Boot:
        command = [*interpreter_command("micropython"), str(RUN), str(LIBRARY)]
        done = subprocess.run(
            [*command, str(self.folder), self.kind, str(port)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Boot(done.stdout.splitlines())

    def server(self, image=IMAGE):
        made = manifest(self.old, self.new, image)
        return raw_server("http", contents(made, self.new, image))

    def offers_nothing(self):
        return raw_server("http", {"/manifest.json": b"null"})

    def tree(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in (self.folder / "flash").rglob("*")
            if path.is_file() and ".ota" not in path.parts and path.name != "OTA_VERSION.py"
        }

    def file(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture
def meter(tmp_path):
    return BoardUnderTest(tmp_path, "pycom", "pycom_lorawan_meter.py")


@pytest.fixture
def esp32(tmp_path):
    return BoardUnderTest(tmp_path, "esp32", "esp32_polling.py")


def test_meter_updates_on_a_downlink_and_confirms_when_joined(meter):
    with meter.server() as server:
        boot = meter.start(server.port)
    assert boot.was_reset, boot.lines
    wifi = "wifi vehicle secret of the fleet"
    assert boot.all("board") == ["join", "uplink", "uplink", "uplink", wifi]
    assert meter.file("ota_0") == IMAGE
    assert meter.file("boot") == b"ota_0"
    with meter.offers_nothing() as server:
        boot = meter.start(server.port)
    assert "power off" in boot.lines
    assert "update: installed 1.0.1" in boot.lines
    assert meter.tree() == meter.new
    record = meter.file("flash/OTA_VERSION.py")
    assert record == b"VERSION = '1.0.1'\nFIRMWARE_VERSION = '1.0.1'\n"


def test_meter_that_can_not_join_goes_back_with_its_firmware(meter):
    meter.new["flash/main.py"] = b"raise SystemExit  # this release never joins\n"
    with meter.server() as server:
        assert meter.start(server.port).was_reset
    for _ in range(3):
        assert not meter.start(0).was_reset
    assert meter.file("boot") == b"ota_0"
    boot = meter.start(0)
    assert boot.was_reset
    assert boot.all("board") == ["bootmgr Factory"]
    assert meter.start(0).was_reset
    assert meter.tree() == meter.old
    assert meter.file("flash/OTA_VERSION.py") == b"VERSION = '1.0.0'\n"
    assert meter.file("flash/.ota/outcome").startswith(b"rolled back\t1.0.1\t1.0.0\t")


def test_meter_refuses_an_image_that_its_board_finds_invalid(meter):
    image = IMAGE[:-1] + bytes([IMAGE[-1] ^ 1])
    with meter.server(image) as server:
        boot = meter.start(server.port)
    assert "no update: the board finds the firmware image invalid" in boot.lines
    assert meter.tree() == meter.old
    assert not (meter.folder / "boot").exists()


def test_meter_refuses_an_image_larger_than_the_slot_before_the_first_write(meter):
    with meter.server(IMAGE + b"\0" * 2_023_424) as server:
        boot = meter.start(server.port)
        assert server.requests == ["/manifest.json?current_ver=1.0.0"]
    assert any("can't take the firmware" in line for line in boot.lines)


def test_esp32_polls_and_confirms_once_it_is_on_the_network(esp32):
    with esp32.server() as server:
        boot = esp32.start(server.port)
    assert boot.was_reset, boot.lines
    assert boot.all("board") == ["wifi workshop secret", "set_boot ota_1"]
    assert esp32.file("ota_1")[: len(IMAGE)] == IMAGE
    with esp32.offers_nothing() as server:
        boot = esp32.start(server.port)
    # The alarm rings in vain: confirmed is confirmed.
    assert boot.all("board") == ["alarm", "wifi workshop secret", "valid", "rings"]
    assert not boot.was_reset
    assert esp32.tree() == esp32.new


def test_esp32_whose_bootloader_went_back_tries_again_then_goes_back_too(esp32):
    esp32.new["flash/main.py"] = b"raise SystemExit\n"
    with esp32.server() as server:
        assert esp32.start(server.port).was_reset
    attempts = 0
    while True:
        (esp32.folder / "boot").write_bytes(b"ota_0")  # as the bootloader does
        boot = esp32.start(0)
        if "set_boot ota_1" not in boot.all("board"):
            break
        attempts += 1
        assert attempts <= 3
    assert attempts == 3
    assert esp32.tree() == esp32.old


def test_esp32_goes_on_with_a_firmware_after_a_reset(esp32):
    image = esp_image("1.0.1", bytes(300_000))

    kept = [250_000]

    def broken(path, data):
        if not path.startswith("/firmware"):
            return data, CLOSE
        return data[: kept.pop() if kept else 0], RESET

    with esp32.server(image) as server:
        server.fault = broken
        boot = esp32.start(server.port)
        assert "power off" in boot.lines
    with esp32.server(image) as server:
        assert esp32.start(server.port).was_reset
        assert server.sent_bytes < 250_000
    assert esp32.file("ota_1")[: len(image)] == image


def test_board_without_slots(tmp_path):
    board = BoardUnderTest(tmp_path, "rp2", "esp32_polling.py")
    with board.server() as server:
        boot = board.start(server.port)
    assert any("this board can't take the firmware" in line for line in boot.lines)
    with board.server(image=None) as server:
        assert board.start(server.port).was_reset
    with board.offers_nothing() as server:
        board.start(server.port)
    assert board.tree() == board.new


def test_boot_py_needs_two_lines():
    lines = [line for line in BOOT_PY.decode().splitlines() if line and line[0] != "#"]
    assert lines == ["import ota_boot", "ota_boot.run()"]
