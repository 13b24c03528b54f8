"""The sample releases on simulated boards that were set up in the steps of device/README.md."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.device.conftest import TRANSPORTS, real_server
from tests.support.board import BOOT_PY, EXAMPLE, EXAMPLES, SimulatedBoard
from tests.support.device import LIBRARY
from tests.support.micropython import PROJECT

pytestmark = pytest.mark.real

README = (LIBRARY / "README.md").read_text()
NOWHERE = Path("/nowhere")
SAMPLE = "Install the sample releases"
KINDS = ("pycom", "esp32")
OLD_SLOT = {"pycom": "Factory", "esp32": "ota_0"}
NEW_SLOT = {"pycom": "ota_0", "esp32": "ota_1"}
PINS = {"pycom": '"P16"', "esp32": "34"}
# What the two stand-ins for a sensor give: 734 mV, and a correction for the Pycom's P16.
READINGS = {"pycom": "22.20 C", "esp32": "23.40 C"}
# Over an hour: the alarm of a trial comes.
LONG = 75


def section(title: str) -> str:
    """Return a section of the README, its lines joined."""
    text = README[README.index(f"\n## {title}\n") :]
    return " ".join(text.split("\n## ")[1].split())


def found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    assert match, f"the README no longer says {pattern}"
    return match.groups()


def on_flash(path: str, kind: str) -> str:
    """Say where a path on a board is in a release; a Pycom has its flash at /flash."""
    return path.lstrip("/") if kind == "pycom" else f"flash{path}"


def library_files(kind: str, transport: str) -> dict[str, bytes]:
    """Return what the README has one copy to a board, by its path in a release."""
    pattern = r"Copy to `(\S+)`: `([^`]+)`, and `(\S+)` or `(\S+)`"
    target, listed, http, ftp = found(pattern, section("Install it on a Pycom"))
    names = [*listed.split(), {"http": http, "ftp": ftp}[transport]]
    if kind == "esp32":
        pattern = r"but in `(\S+)`, and with `(\S+)` and `(\S+)` instead of `(\S+)` and\s`(\S+)`"
        target, *others = found(pattern, section("Install it on an ESP32"))
        for instead, replaced in zip(others[:2], others[2:], strict=True):
            names[names.index(replaced)] = instead
    folder = on_flash(target, kind)
    return {f"{folder}/{name}": (LIBRARY / name).read_bytes() for name in names}


def version_record(kind: str) -> dict[str, bytes]:
    pattern = r"`(VERSION = '1\.0\.0')` in `/flash/(\S+)`"
    line, name = found(pattern, section("Install it on a Pycom"))
    return {f"flash/{name}": f"{line}\n".encode()}


@dataclass
class Sample:
    """The sample releases, in a folder where they can be changed, and a board for them."""

    releases: Path
    board: SimulatedBoard
    kind: str
    transport: str

    def change(self, path: str, old: str, new: str) -> None:
        """Edit a file of the releases."""
        text = (self.releases / path).read_text()
        assert old in text, f"{path} has no {old}"
        (self.releases / path).write_text(text.replace(old, new))

    def release(self, version: str) -> dict[str, bytes]:
        folder = self.releases / version
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def adapt(self) -> None:
        """Put into the settings what the board needs (step 1)."""
        (settings,) = found(r"into `(\S+)` of both releases", section(SAMPLE))
        for version in ("1.0.0", "1.0.1"):
            self.change(f"{version}/{settings}", '"P16"\n', PINS[self.kind] + "\n")
            if self.transport == "ftp":
                self.change(f"{version}/{settings}", "WiFiOTA", "FTPOTA")
                self.change(f"{version}/{settings}", "8000", "2121")

    def install(self) -> None:
        """Copy the library and release 1.0.0, and record the version (step 4)."""
        self.board.put(library_files(self.kind, self.transport))
        source, *targets = found(
            r"the content of `(\S+)` to `(\S+)`, or to `(\S+)` on an ESP32", section(SAMPLE)
        )
        target = on_flash(targets[KINDS.index(self.kind)], self.kind)
        target_folder = self.board.folder / target
        shutil.copytree(self.releases / source, target_folder, dirs_exist_ok=True)
        self.board.put(version_record(self.kind))

    def tree(self) -> dict[str, bytes]:
        """Return what is on the board and its card, without what the library has made."""
        return {
            name: path.read_bytes()
            for path in self.board.folder.rglob("*")
            if path.is_file() and ".ota" not in path.parts
            if (name := path.relative_to(self.board.folder).as_posix()).startswith(
                ("flash/", "sd/")
            )
            and name != "flash/OTA_VERSION.py"
        }

    def record(self) -> list[str]:
        return self.board.file("flash/OTA_VERSION.py").decode().splitlines()

    def has(self, version: str) -> None:
        """Check that the board has this release, whole, and the library, and nothing else."""
        library = library_files(self.kind, self.transport)
        assert self.tree() == {**library, **self.release(version)}
        assert self.record()[0] == f"VERSION = '{version}'"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def sample_for(folder: Path, kind: str, transport: str) -> Sample:
    board = SimulatedBoard(folder / "board", kind, library=NOWHERE)
    # A board as it was bought, with a card.
    shutil.rmtree(board.folder / "flash")
    for name in ("flash", "sd"):
        (board.folder / name).mkdir()
    shutil.copytree(PROJECT / "releases", folder / "releases")
    sample = Sample(folder / "releases", board, kind, transport)
    sample.adapt()
    return sample


@pytest.fixture
def sample(tmp_path: Path, kind: str) -> Sample:
    return sample_for(tmp_path, kind, "http")


def outcome(sample: Sample) -> list[str]:
    return sample.board.file("flash/.ota/outcome").decode().split("\t")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_board_set_up_as_documented_goes_to_the_new_release_and_confirms(
    tmp_path: Path, kind: str, transport: str
) -> None:
    sample = sample_for(tmp_path, kind, transport)
    sample.install()
    with real_server(sample.releases, tmp_path / "state") as ports:
        first = sample.board.start(ports[transport])
        assert first.was_reset
        assert "23.4 C" in first.lines
        second = sample.board.start(ports[transport], minutes=LONG)
    assert "update: installed 1.0.1" in second.lines
    # The release runs on.
    assert "cancelled" in second.all("board")
    assert "power off" in second.lines
    assert second.lines.count(READINGS[kind]) > 60
    assert second.last("slot") == NEW_SLOT[kind]
    sample.has("1.0.1")
    image = (sample.releases / "firmware_1.0.1.bin").read_bytes()
    assert sample.board.file(NEW_SLOT[kind])[: len(image)] == image
    assert outcome(sample)[:3] == ["installed", "1.0.1", "1.0.0"]
    # From the next start on, there is nothing about it any more.
    third = sample.board.start()
    assert not any(line.startswith("update:") for line in third.lines)


def never_confirm(sample: Sample) -> None:
    sample.change("1.0.1/flash/main.py", "        ota.confirm()\n", "")


def lose_the_sensor(sample: Sample) -> None:
    sample.change("1.0.1/flash/lib/sensor.py", "def millivolts_at(pin):\n", "def renamed(pin):\n")


@pytest.mark.parametrize("spoil", [never_confirm, lose_the_sensor])
def test_a_release_that_does_not_work_is_rolled_back(
    sample: Sample, spoil: Callable[[Sample], None], tmp_path: Path
) -> None:
    spoil(sample)
    sample.install()
    with real_server(sample.releases, tmp_path / "state") as ports:
        assert sample.board.start(ports["http"]).was_reset
        sample.has("1.0.1")
        boots = sample.board.start_until_idle(port=ports["http"], minutes=LONG)
    assert boots[-1].last("slot") == OLD_SLOT[sample.kind]
    # Back at the old release, it knows the new one and leaves it alone.
    assert "1.0.1 is not tried again: not confirmed in 3 boots" in boots[-1].lines
    sample.has("1.0.0")
    assert outcome(sample) == ["rolled back", "1.0.1", "1.0.0", "not confirmed in 3 boots"]


def test_a_release_that_does_not_reach_the_network_is_rolled_back(
    sample: Sample, tmp_path: Path
) -> None:
    sample.install()
    with real_server(sample.releases, tmp_path / "state") as ports:
        assert sample.board.start(ports["http"]).was_reset
    boots = sample.board.start_until_idle(minutes=LONG, wifi="absent")
    assert sum(boot.all("board").count("rings") for boot in boots) == 3
    sample.has("1.0.0")


def test_a_board_without_a_card_or_a_firmware(sample: Sample, tmp_path: Path) -> None:
    text = section(SAMPLE)
    for name in found(r"Delete `(\S+)` and `(\S+)`, or", text):
        (sample.releases / name).unlink()
    (folder,) = found(r"has no card, delete `(\S+)`", text)
    shutil.rmtree(sample.releases / folder)
    sample.install()
    with real_server(sample.releases, tmp_path / "state") as ports:
        assert sample.board.start(ports["http"], card="absent").was_reset
        boot = sample.board.start(ports["http"], card="absent")
    assert "update: installed 1.0.1" in boot.lines
    assert boot.last("slot") == OLD_SLOT[sample.kind]
    sample.has("1.0.1")
    # Its firmware is still what the server took it for.
    assert sample.record()[:2] == ["VERSION = '1.0.1'", "FIRMWARE_VERSION = '1.0.0'"]
    assert [line.split(" = ")[0] for line in sample.record()[2:]] == ["RELEASE"]


def test_files_for_a_card_that_is_not_there_are_refused(sample: Sample, tmp_path: Path) -> None:
    sample.install()
    with real_server(sample.releases, tmp_path / "state") as ports:
        boot = sample.board.start(ports["http"], card="absent")
    assert not boot.was_reset
    assert boot.last("no") == "update: there is no file system at /sd"
    sample.has("1.0.0")


def test_a_board_with_the_examples_takes_the_sample_as_its_first_release(
    sample: Sample, tmp_path: Path
) -> None:
    """Without a version that the server knows, everything is new, and nothing is deleted."""
    library = library_files(sample.kind, "http")
    example = (EXAMPLES / EXAMPLE[sample.kind]).read_bytes()
    boot_py = sample.release("1.0.1")["flash/boot.py"]
    sample.board.put({**library, "flash/boot.py": boot_py, "flash/main.py": example})
    with real_server(sample.releases, tmp_path / "state") as ports:
        assert sample.board.start(ports["http"]).was_reset
        boot = sample.board.start(ports["http"])
    assert "update: installed 1.0.1" in boot.lines
    sample.has("1.0.1")


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1"])
def test_boot_py_has_the_two_lines_one_after_the_other(version: str) -> None:
    lines = [line for line in BOOT_PY.decode().splitlines() if line and line[0] != "#"]
    boot_py = (PROJECT / "releases" / version / "flash" / "boot.py").read_text()
    assert [line for line in boot_py.splitlines() if line][-2:] == lines
