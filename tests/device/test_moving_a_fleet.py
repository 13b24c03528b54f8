"""Devices with the original library get this one by an update, and go on with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.device.conftest import real_server
from tests.support.board import BOOT_PY, EXAMPLES, METER, SimulatedBoard
from tests.support.device import LIBRARY, Boot
from tests.support.esp_image import esp_image
from tests.support.original_client import OriginalClient

pytestmark = pytest.mark.real

NOWHERE = Path("/nowhere")
RECORD = "flash/OTA_VERSION.py"
METER_PY = (EXAMPLES / METER).read_bytes()
ORIGINAL = {
    "flash/boot.py": b"# nothing yet\n",
    "flash/main.py": b"from OTA import WiFiOTA  # the original one\n",
    "flash/lib/OTA.py": b"class WiFiOTA: pass  # the original one\n",
    "flash/lib/meter.py": b"METER = 1\n",
    "flash/lib/modem.py": b"MODEM = 1\n",
}
MOVED = {
    **{f"flash/lib/{path.name}": path.read_bytes() for path in LIBRARY.glob("*.py")},
    "flash/boot.py": BOOT_PY,
    "flash/main.py": METER_PY,
    "flash/lib/meter.py": b"METER = 1\n",
}
BAD = {**MOVED, "flash/main.py": b"raise ValueError('bad release')\n", "flash/new/x": b"x\n"}
GOOD = {**MOVED, "flash/main.py": METER_PY + b"# 2.0.2\n", "flash/lib/deep/er.py": b"DEEPER = 1\n"}
# The first read of an image goes through text, as its head, padded, lets it.
MOVED_IMAGE = esp_image("2.0.0", bytes(range(256)) * 40)
BAD_IMAGE = esp_image("2.0.1", b"bad " * 2000)
MOST_STARTS = 20


class Fleet:
    """A legacy server, and one meter of the fleet that has the original release."""

    def __init__(self, folder: Path) -> None:
        self.releases = folder / "releases"
        self.board = SimulatedBoard(folder / "device", "pycom", library=NOWHERE)
        self.board.put({**ORIGINAL, RECORD: b"VERSION = '1.0.0'"})
        self.publish("1.0.0", ORIGINAL)
        self.port = 0

    def publish(self, version: str, tree: dict[str, bytes], image: bytes | None = None) -> None:
        """Put a release, and a firmware, into the server's tree, whole from the first moment."""
        # With a dot in front, it is not served.
        hidden = self.releases / f".{version}"
        for path, content in tree.items():
            (hidden / path).parent.mkdir(parents=True, exist_ok=True)
            (hidden / path).write_bytes(content)
        if image:
            (self.releases / f"firmware_{version}.bin").write_bytes(image)
        hidden.rename(self.releases / version)

    def original(self) -> OriginalClient:
        return OriginalClient(self.board.folder, self.port)

    def has(self, tree: dict[str, bytes], version: str, slot: str) -> None:
        """Check that the device has a release, whole, beside what the original left over."""
        for path, content in tree.items():
            assert self.board.file(path) == content, path
        assert self.board.file(RECORD).decode().splitlines()[0] == f"VERSION = '{version}'"
        assert self.board.file("boot").decode().split()[0] == slot

    def start_until_updated(self) -> Boot:
        """Start the board until the server has seen the new release."""
        for _ in range(MOST_STARTS):
            boot = self.board.start(self.port)
            if boot.was_reset:
                break
        assert boot.was_reset, boot.lines
        return boot


@contextmanager
def fleet_to_move(folder: Path, release: dict[str, bytes]) -> Iterator[Fleet]:
    """Serve a fleet that is at 1.0.0 the release that is to move it."""
    fleet = Fleet(folder)
    fleet.publish("2.0.0", release, MOVED_IMAGE)
    with real_server(fleet.releases, folder / "state", "--legacy") as ports:
        fleet.port = ports["http"]
        yield fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with fleet_to_move(tmp_path, MOVED) as fleet:
        yield fleet


def test_moving(fleet: Fleet) -> None:
    board, original = fleet.board, fleet.original()
    assert original.update()
    fleet.has(MOVED, "2.0.0", "ota_0")
    assert board.file("ota_0") == MOVED_IMAGE
    assert not (board.folder / "flash/lib/modem.py").exists()
    assert not original.update()

    # The new library finds the record, and that there is nothing to do.
    boot = board.start(fleet.port)
    assert "wifi off" in boot.all("board")
    assert not boot.was_reset
    assert not any(line.startswith("no update") for line in boot.lines), boot.lines
    fleet.has(MOVED, "2.0.0", "ota_0")

    fleet.publish("2.0.1", BAD, BAD_IMAGE)
    fleet.start_until_updated()
    fleet.has(BAD, "2.0.1", "Factory")
    boots = board.start_until_idle(minutes=75)
    assert [boot.last("slot") for boot in boots[:3]] == ["Factory"] * 3
    # Back at what the original has brought, firmware and all.
    fleet.has(MOVED, "2.0.0", "ota_0")
    assert board.file("ota_0") == MOVED_IMAGE
    assert not (board.folder / "flash/new").exists()

    fleet.publish("2.0.2", GOOD)
    fleet.start_until_updated()
    assert "update: installed 2.0.2" in board.start(fleet.port).lines
    fleet.has(GOOD, "2.0.2", "Factory")
    versions = board.file(RECORD).splitlines()[:2]
    assert versions == [b"VERSION = '2.0.2'", b"FIRMWARE_VERSION = '2.0.1'"]


def test_a_new_folder_stops_the_original_client(tmp_path: Path) -> None:
    """Why the release that moves a fleet keeps the library flat in flash/lib."""
    with fleet_to_move(tmp_path, {**MOVED, "flash/lib/deep/er.py": b"DEEPER = 1\n"}) as fleet:
        with pytest.raises(FileNotFoundError, match=r"flash/lib/deep/er\.py\.new"):
            fleet.original().update()
        fleet.has(ORIGINAL, "1.0.0", "Factory")


def test_the_library_is_flat() -> None:
    assert all(path.parent == LIBRARY for path in LIBRARY.rglob("ota_*.py"))
