"""Devices with the original library get this one by an update, and go on with it."""

import subprocess

import pytest

from tests.device.conftest import real_server
from tests.support.device import LIBRARY, Boot, interpreter_command
from tests.support.micropython import PROJECT
from tests.support.original_client import OriginalClient

RUN = PROJECT / "tests" / "support" / "board_run.py"
LIBRARY_FILES = {f"flash/lib/{path.name}": path.read_bytes() for path in LIBRARY.glob("*.py")}
METER = (LIBRARY / "examples/pycom_lorawan_meter.py").read_bytes()
ORIGINAL = {
    "flash/boot.py": b"# nothing yet\n",
    "flash/main.py": b"from OTA import WiFiOTA  # the original one\n",
    "flash/lib/OTA.py": b"class WiFiOTA: pass  # the original one\n",
    "flash/lib/meter.py": b"METER = 1\n",
}
MOVED = {
    **LIBRARY_FILES,
    "flash/boot.py": (LIBRARY / "examples/boot.py").read_bytes(),
    "flash/main.py": METER,
    "flash/lib/meter.py": b"METER = 1\n",
}
NEXT = {**MOVED, "flash/main.py": METER + b"# 2.0.1\n", "flash/lib/deep/er.py": b"DEEPER = 1\n"}


@pytest.fixture
def server(tmp_path):
    root = tmp_path / "releases"
    for version, tree in {"1.0.0": ORIGINAL, "2.0.0": MOVED}.items():
        publish(root / version, tree)
    with real_server(root, tmp_path / "state", "--legacy") as ports:
        yield ports["http"], root


def publish(folder, tree):
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def start_board(folder, port) -> Boot:
    # The library comes from the device's own flash: there is no other one to be had.
    command = [*interpreter_command("micropython"), str(RUN), "/nowhere"]
    done = subprocess.run(
        [*command, str(folder), "pycom", str(port)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Boot(done.stdout.splitlines())


def test_moving(server, tmp_path):
    port, root = server
    folder = tmp_path / "device"
    publish(folder, {**ORIGINAL, "flash/OTA_VERSION.py": b"VERSION = '1.0.0'\n"})

    original = OriginalClient(folder, port)
    assert original.update()
    assert not original.update()
    assert original.version() == "2.0.0"
    for path, content in MOVED.items():
        assert (folder / path).read_bytes() == content

    boot = start_board(folder, port)
    assert "power off" in boot.lines, boot.lines
    assert not any(line.startswith("no update") for line in boot.lines), boot.lines

    publish(root / "2.0.1", NEXT)
    boot = wait_for_update(folder, port)
    assert boot.was_reset, boot.lines
    boot = start_board(folder, port)
    assert "update: installed 2.0.1" in boot.lines
    assert original.version() == "2.0.1"
    for path, content in NEXT.items():
        assert (folder / path).read_bytes() == content


def wait_for_update(folder, port) -> Boot:
    """Start the board until the server has seen the new release."""
    for _ in range(20):
        boot = start_board(folder, port)
        if boot.was_reset:
            break
    return boot


def test_a_folder_would_stop_the_original_client():
    """What device/README.md says of the release that moves a fleet: flat in flash/lib."""
    assert all(path.count("/") == 2 for path in LIBRARY_FILES)
