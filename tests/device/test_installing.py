"""New boards, installed by the README's commands with mpremote, go to the next release."""

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otaserver.mip.library import needed_at_boot, read_library
from tests.support.board import BOOT_PY, EXAMPLES, POLLING, RUN, SimulatedBoard
from tests.support.device import LIBRARY, interpreter_command
from tests.support.micropython import PROJECT
from tests.support.process import Server, running_server

pytestmark = [pytest.mark.real, pytest.mark.long]

NOWHERE = Path("/nowhere")
MODULES = sorted(LIBRARY.glob("*.py"))
SECTION = "### From a new board to its first update\n"
TEXT = (PROJECT / "README.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
KINDS = ("esp32", "rp2", "pycom")
COMMANDS = dict(zip(KINDS, re.findall(r"(?:^    \S.*\n)+", TEXT, re.MULTILINE), strict=True))
SERVER = "http://192.168.1.10:8000"
TIMEOUT_S = 120


@contextmanager
def at_the_prompt(board: SimulatedBoard) -> Iterator[str]:
    """Connect a board by USB; yields the name of the serial line."""
    ours, line = pty.openpty()
    tty.setraw(line)
    command = [*interpreter_command("micropython"), str(RUN), str(NOWHERE), str(board.folder)]
    process = subprocess.Popen(
        [*command, board.kind, "0", "usb=there"], stdin=ours, stdout=ours, stderr=subprocess.PIPE
    )
    try:
        yield os.ttyname(line)
    finally:
        # The board ends when it is reset, or now that the line is cut.
        os.close(line)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours)
        assert process.stderr is not None
        process.stderr.close()


def mpremote(line: str, arguments: list[str], folder: Path = PROJECT) -> str:
    pytest.importorskip("mpremote")
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", line, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_commands(kind: str, board: SimulatedBoard, server: Server, folder: Path) -> None:
    """Run the README's commands, as a shell in the folder would."""
    with at_the_prompt(board) as line:
        for command in COMMANDS[kind].splitlines():
            words: list[str] = []
            for word in shlex.split(command.replace(SERVER, server.http_url)):
                names = sorted(folder.glob(word)) if "*" in word else []
                words += [str(name.relative_to(folder)) for name in names] or [word]
            assert words[0] == "mpremote"
            mpremote(line, words[1:], folder)


def new_board(folder: Path, kind: str) -> SimulatedBoard:
    board = SimulatedBoard(folder / "board", kind, library=NOWHERE)
    shutil.rmtree(board.folder / "flash")
    for name in ("flash", "sd"):
        (board.folder / name).mkdir()
    if kind == "pycom":
        # Its firmware makes it at the first start.
        (board.folder / "flash/lib").mkdir()
    return board


def put(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def workshop(folder: Path, kind: str) -> Path:
    """A checkout, as far as the commands need it, with releases for a kind of board."""
    (folder / "device").symlink_to(LIBRARY)
    releases = folder / "releases"
    shutil.copytree(PROJECT / "releases", releases)
    if kind == "rp2":
        main = (EXAMPLES / POLLING).read_bytes().replace(b"8000,", b'8000, product="pico",')
        for version in ("1.0.0", "1.0.1"):
            files = {"boot.py": BOOT_PY, "main.py": main + b"# " + version.encode()}
            put(releases / "pico" / version / "flash", files)
    if kind == "esp32":
        for version in ("1.0.0", "1.0.1"):
            settings = releases / version / "flash/settings.py"
            settings.write_text(settings.read_text().replace('"P16"\n', "34\n"))
    return releases


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".ota" not in path.parts and path.name != "OTA_VERSION.py"
    }


def library_files(kind: str) -> set[str]:
    """Name the library's files: compiled where that is possible, but for what runs at boot."""
    names = {path.name for path in MODULES}
    at_boot = names if kind == "pycom" else needed_at_boot(read_library(LIBRARY))
    return {name if name in at_boot else name.replace(".py", ".mpy") for name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_three_commands_bring_a_new_board_to_its_first_update(tmp_path: Path, kind: str) -> None:
    assert [len(block.splitlines()) for block in COMMANDS.values()] == [3, 3, 3]
    releases = workshop(tmp_path, kind)
    tree = releases / "pico" if kind == "rp2" else releases
    board = new_board(tmp_path, kind)
    with running_server(releases, tmp_path / "state") as server:
        run_commands(kind, board, server, tmp_path)
        flash = contents(board.folder / "flash")
        release = contents(tree / "1.0.0/flash")
        assert flash.items() >= release.items()
        library = {path for path in flash if path not in release}
        assert {path.removeprefix("lib/") for path in library} == library_files(kind)
        assert board.file("flash/OTA_VERSION.py").strip() == b"VERSION = '1.0.0'"
        assert board.start(server.http_port).was_reset
        second = board.start(server.http_port)
    assert "update: installed 1.0.1" in second.lines
    flash = contents(board.folder / "flash")
    new = contents(tree / "1.0.1/flash")
    # What the first release had and the next has not is gone; the library is as it was.
    assert flash.keys() == library | new.keys()
    assert flash.items() >= new.items()


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    board = new_board(tmp_path, "esp32")
    with running_server(workshop(tmp_path, "esp32"), tmp_path / "state") as server:
        index = ["--index", f"{server.http_url}/pi"]
        with at_the_prompt(board) as line:
            for package in (["ota"], ["--target", "/", "release"]):
                assert "Installing: /" in mpremote(line, ["mip", "install", *index, *package])
                again = mpremote(line, ["mip", "install", *index, *package])
                assert "Exists: /" in again
                assert "Installing: /" not in again
    assert board.file("flash/OTA_VERSION.py") == b"VERSION = '1.0.1'\n"
    assert (board.folder / "flash/sd/calibration/offsets.json").exists()


def test_mpremote_installs_on_a_pycom_as_well(tmp_path: Path) -> None:
    """Its flash is not at the root, and it says no version of .mpy files."""
    board = new_board(tmp_path, "pycom")
    releases = workshop(tmp_path, "pycom")
    with running_server(releases, tmp_path / "state") as server:
        index = ["--index", f"{server.http_url}/pi", "--no-mpy"]
        with at_the_prompt(board) as line:
            mpremote(line, ["mip", "install", *index, "ota"])
            mpremote(line, ["mip", "install", *index, "--target", "/flash", "release@1.0.0"])
    flash = contents(board.folder / "flash")
    modules = {f"lib/{path.name}": path.read_bytes() for path in MODULES}
    assert flash == modules | contents(releases / "1.0.0/flash")


FROM_THE_BOARD = """
import vfs, os, sys
vfs.mount(vfs.VfsPosix("/"), "/host")
vfs.umount("/")
class Flash:
    data = bytearray(256 * 4096)
    def readblocks(self, block, buf, at=0):
        at += block * 4096
        buf[:] = self.data[at : at + len(buf)]
    def writeblocks(self, block, buf, at=0):
        at += block * 4096
        self.data[at : at + len(buf)] = buf
    def ioctl(self, op, _):
        return {4: 256, 5: 4096}.get(op, 0)
vfs.VfsLfs2.mkfs(Flash())
vfs.mount(vfs.VfsLfs2(Flash()), "/")
sys.path[:] = ["", ".frozen", "/lib"]
import mip
mip.install("ota", index=INDEX, mpy=MPY)
mip.install("release", version="1.0.0", target="/", index=INDEX, mpy=MPY)
mip.install("release", version="1.0.0", target="/", index=INDEX, mpy=MPY)
mip.install("nothing", index=INDEX)
import ota_boot
print("boot", ota_boot.run())
import OTA
print("OTA", OTA.__file__, hasattr(OTA, "WiFiOTA"))
with open("/OTA_VERSION.py") as record:
    print("record", record.read().strip())
"""


@pytest.mark.parametrize("mpy", [True, False])
def test_micropython_s_own_mip_installs_both(tmp_path: Path, mpy: bool) -> None:
    releases = PROJECT / "releases"
    with running_server(releases, tmp_path / "state") as server:
        script = f"INDEX = '{server.http_url}/pi'; MPY = {mpy}\n{FROM_THE_BOARD}"
        done = subprocess.run(
            [*interpreter_command("micropython"), "-X", "heapsize=4m", "-c", script],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert f"Copying: /lib/OTA.{'mpy' if mpy else 'py'}" in said
    assert "Copying: //lib/adc.py" in said and "Exists: //lib/adc.py" in said
    assert [line for line in said if line.startswith("Package not found: ")]
    assert said[-3:] == [
        "boot idle",
        f"OTA /lib/OTA.{'mpy' if mpy else 'py'} True",
        "record VERSION = '1.0.0'",
    ]
