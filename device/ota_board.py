"""What updates need of a board; what booting needs is in ota_ports.

A board that takes firmware also has ``open_slot(progress_path, sha256)``. It returns the
inactive slot as a sink (see ota_sink) with a ``name`` and a ``check()`` that raises
FirmwareError if the image is invalid. Progress that should survive a reset is kept in the
file ``progress_path``.
"""

import os
import time

import ota_ports

POLL_MS = 100
SLICE_MS = 1000


class MicroPythonBoard(ota_ports.Board):
    """A board with MicroPython's ``network`` but without firmware updates: RP2 and others."""

    def slot_bytes(self):
        """Return the size of the inactive slot in bytes, 0 if there is none."""
        return 0

    def connect_wifi(self, ssid, password, timeout_s):
        """Join a Wi-Fi network unless already joined; OSError if that fails.

        Args:
            ssid, password: of the network.
            timeout_s: time allowed for joining.
        """
        import network

        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        if wlan.isconnected() and wlan.config("essid") == ssid:
            return
        # After a failed join, too: some ports keep trying and refuse another.
        wlan.disconnect()
        wlan.connect(ssid, password)
        self.wait_for(wlan.isconnected, timeout_s)

    def wait_for(self, condition, timeout_s):
        """Poll until ``condition()`` is true.

        Args:
            condition: function without arguments.
            timeout_s: time after which OSError is raised.
        """
        start_ms = self.ticks_ms()
        while not condition():
            if self.elapsed_ms(start_ms) > timeout_s * 1000:
                raise OSError("timed out after {} s".format(timeout_s))
            self.sleep_ms(POLL_MS)

    def ticks_ms(self):
        """Return the time in ms on a clock that may wrap around."""
        return time.ticks_ms()

    def elapsed_ms(self, start_ms):
        """Return the ms since ``start_ms``, a result of ticks_ms()."""
        return time.ticks_diff(time.ticks_ms(), start_ms)

    def sleep_ms(self, ms):
        """Sleep for ``ms`` milliseconds, feeding the watchdog."""
        while ms > 0:
            self.feed_watchdog()
            time.sleep(min(ms, SLICE_MS) / 1000)
            ms -= SLICE_MS

    def random_byte(self):
        """Return a random integer from 0 to 255."""
        return os.urandom(1)[0]


def find_board():
    """Detect the board and return an object for it."""
    if ota_ports.has("pycom"):
        from ota_pycom import PycomBoard

        return PycomBoard()
    if ota_ports.has("esp32"):
        from ota_esp32 import Esp32Board

        return Esp32Board()
    return MicroPythonBoard()
