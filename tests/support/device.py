"""A device to test with: a folder, and an interpreter that boots from it."""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.micropython import PROJECT, MicroPythonUnavailable, micropython_command

LIBRARY = PROJECT / "device"
BOOT_SCRIPT = PROJECT / "tests" / "support" / "device_boot.py"
BOOT_TIMEOUT_S = 60


def interpreter_command(name: str) -> list[str]:
    """Return how to start CPython or MicroPython; skip where there is no MicroPython."""
    if name == "cpython":
        # No bytecode: a test must not find that of another version of the library.
        return [sys.executable, "-B"]
    try:
        return micropython_command()
    except MicroPythonUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no MicroPython here: {error}")


@dataclass
class Boot:
    """What one boot printed, by the first word of each line."""

    lines: list[str]

    def all(self, word: str) -> list[str]:
        return [line[len(word) + 1 :] for line in self.lines if line.partition(" ")[0] == word]

    def last(self, word: str) -> str:
        return self.all(word)[-1]

    @property
    def was_reset(self) -> bool:
        return "reset" in self.lines

    @property
    def outcome(self) -> tuple[str, ...] | None:
        return ast.literal_eval(self.last("outcome"))

    @property
    def versions(self) -> tuple[str | None, str | None]:
        return ast.literal_eval(self.last("versions"))


@dataclass
class Device:
    """A Linux device in ``folder`` whose server speaks ``transport`` at ``port``."""

    folder: Path
    interpreter: str
    transport: str
    port: int
    heap: str | None = None

    def install(
        self, tree: Mapping[str, bytes], version: str | None, firmware_version: str | None = None
    ) -> None:
        """Put a release on the device, as a workshop would."""
        for path, content in tree.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
        record = f"VERSION = '{version}'\n" if version else ""
        record += f"FIRMWARE_VERSION = '{firmware_version}'\n" if firmware_version else ""
        if record:
            (self.folder / "flash").mkdir(exist_ok=True)
            (self.folder / "flash/OTA_VERSION.py").write_text(record)

    def boot(self, action: str = "nothing", **options: object) -> Boot:
        """Start the device, let it do one thing, and return what it printed."""
        words = [f"{name}={value}" for name, value in options.items()]
        command = [*interpreter_command(self.interpreter), *self._interpreter_options()]
        where = (LIBRARY, self.folder, self.transport, self.port)
        done = subprocess.run(
            [*command, str(BOOT_SCRIPT), *map(str, where), action, *words],
            capture_output=True,
            text=True,
            timeout=BOOT_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        assert "ResourceWarning" not in done.stderr, done.stderr
        boot = Boot(done.stdout.splitlines())
        assert set(boot.all("left_open")) <= {"0"}, boot.lines
        return boot

    def _interpreter_options(self) -> list[str]:
        if self.interpreter == "cpython":
            return ["-X", "dev", "-W", "always::ResourceWarning"]
        return ["-X", f"heapsize={self.heap}"] if self.heap else []

    def tree(self) -> dict[str, bytes]:
        """Return the device's files, without the version record and the library's own."""
        return {
            name: path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
            and (name := path.relative_to(self.folder).as_posix()).startswith(("flash/", "sd/"))
            and "/.ota/" not in name
            and name != "flash/OTA_VERSION.py"
        }

    def slot(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()
