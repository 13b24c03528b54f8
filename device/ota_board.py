"""The boards, as an update needs them. What a boot needs of them is in ota_recovery.

Beside what ota_recovery.Board lists, a board has
``connect_wifi(ssid, password, timeout_s)``: OSError if it can't;
``slot_bytes()``: how large a firmware may be;
``open_slot(progress_path, sha256)``: the other slot, as a sink of a download, with a
``name`` and a ``check()`` that raises FirmwareError if the image is no good;
``ticks_ms``, ``elapsed_ms``, ``sleep_ms`` and ``random_byte``: clock and randomness.
"""

import os
import time

import ota_recovery
from ota_errors import FirmwareError

POLL_MS = 100
SLICE_MS = 1000


class MicroPythonBoard(ota_recovery.Board):
    """A board with MicroPython's ``network`` and no firmware update: RP2 and others."""

    def slot_bytes(self):
        return 0

    def connect_wifi(self, ssid, password, timeout_s):
        import network

        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        if wlan.isconnected() and wlan.config("essid") == ssid:
            return
        # Also after a join that failed: some ports are still at it, and refuse another.
        wlan.disconnect()
        wlan.connect(ssid, password)
        self.wait_for(wlan.isconnected, timeout_s)

    def wait_for(self, condition, timeout_s):
        """Wait until ``condition()``; OSError if it takes too long."""
        start_ms = self.ticks_ms()
        while not condition():
            if self.elapsed_ms(start_ms) > timeout_s * 1000:
                raise OSError("not there after {} s".format(timeout_s))
            self.sleep_ms(POLL_MS)

    def ticks_ms(self):
        return time.ticks_ms()

    def elapsed_ms(self, start_ms):
        return time.ticks_diff(time.ticks_ms(), start_ms)

    def sleep_ms(self, ms):
        while ms > 0:
            self.feed_watchdog()
            time.sleep_ms(min(ms, SLICE_MS))
            ms -= SLICE_MS

    def random_byte(self):
        return os.urandom(1)[0]


def find_board():
    """Return the board that this runs on."""
    boot_side = type(ota_recovery.find_board())
    if boot_side is ota_recovery.Pycom:
        from ota_pycom import PycomBoard

        return PycomBoard()
    if boot_side is ota_recovery.Esp32:
        from ota_esp32 import Esp32Board

        return Esp32Board()
    return MicroPythonBoard()


def check_image_start(data):
    """Refuse what can't be an application image of an ESP32."""
    if data[0] != 0xE9:
        raise FirmwareError("the firmware is no application image: it does not begin with 0xE9")
