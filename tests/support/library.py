"""The device library inside this process, for tests that need many quick runs of it.

Its parts stay loaded between two updates: to load them anew takes longer than an update.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.device import LIBRARY

sys.path.insert(0, str(LIBRARY))

import ota_files
import ota_recovery
from OTA import FTPOTA, OTA, WiFiOTA
from ota_linux import LinuxBoard

__all__ = [
    "FTPOTA",
    "OTA",
    "TRANSPORTS",
    "DictionaryOTA",
    "LinuxBoard",
    "QuickBoard",
    "Reset",
    "WiFiOTA",
    "files_below",
    "ota_files",
    "ota_recovery",
    "put",
    "quick_ota",
    "reset",
]

TRANSPORTS = {"http": WiFiOTA, "ftp": FTPOTA}
RECORD = "flash/OTA_VERSION.py"

vars(sys.modules[OTA.__module__])["_unload"] = lambda *names: None


class Reset(BaseException):
    """Where the board would start anew."""


def reset() -> None:
    raise Reset


class QuickBoard(LinuxBoard):
    """Remembers its waits instead of waiting."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), reset)
        self.waits_ms: list[int] = []

    def sync(self) -> None:
        """Nothing: the power of the test machine stays on."""

    def sleep_ms(self, ms: int) -> None:
        self.waits_ms.append(ms)


class DictionaryOTA(OTA):
    """A transport that needs no network."""

    served: dict[str, bytes] = {}

    def connect(self) -> None:
        """Nothing to connect."""

    def open(self, path: str, offset: int) -> "Reader":
        return Reader(self.served[path.partition("?")[0]][offset:])


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def readinto(self, buf: bytearray | memoryview) -> int:
        piece = self.data[: len(buf)]
        buf[: len(piece)] = piece
        self.data = self.data[len(piece) :]
        return len(piece)

    def close(self) -> None:
        pass


def put(folder: Path, tree: Mapping[str, bytes], version: str = "1.0.0") -> None:
    """Put a release on a device that has nothing yet."""
    for path, content in {**tree, RECORD: f"VERSION = '{version}'\n".encode()}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def files_below(folder: Path) -> dict[str, bytes]:
    """Return a device's files, without the version record and the library's own."""
    return {
        name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "/.ota" not in str(path)
        if (name := path.relative_to(folder).as_posix()).startswith(("flash/", "sd/"))
        and name != RECORD
    }


def quick_ota(folder: Path, transport: str, port: int, **options: Any) -> OTA:
    """Make what updates the device in ``folder`` from a server on this machine."""
    options = {"timeout_s": 0.2, **options}
    board = QuickBoard(folder)
    return TRANSPORTS[transport]("net", "pw", "127.0.0.1", port, board=board, **options)
