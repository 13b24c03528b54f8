"""The device library inside this process, for tests that need many quick runs of it."""

import sys

from tests.support.device import LIBRARY

sys.path.insert(0, str(LIBRARY))

import ota_recovery
from OTA import FTPOTA, OTA, WiFiOTA
from ota_linux import LinuxBoard

__all__ = ["FTPOTA", "OTA", "QuickBoard", "Reset", "WiFiOTA", "ota_recovery"]


class Reset(BaseException):
    """Where the board would start anew."""


def reset() -> None:
    raise Reset


class QuickBoard(LinuxBoard):
    """Remembers its waits instead of waiting."""

    def __init__(self, folder):
        super().__init__(str(folder), reset)
        self.waits_ms = []

    def sync(self):
        """Nothing: the power of the test machine stays on."""

    def sleep_ms(self, ms):
        self.waits_ms.append(ms)
