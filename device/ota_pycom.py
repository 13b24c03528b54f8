"""Pycom boards: ``pycom`` for the firmware, and a WLAN of their own."""

import pycom
from ota_board import MicroPythonBoard, check_image_start
from ota_errors import FirmwareError
from ota_recovery import Pycom

# ota_write checks no bounds: beyond these lie other partitions.
SLOT_BYTES_4MB = 1757184
SLOT_BYTES_8MB = 2023424


class PycomBoard(Pycom, MicroPythonBoard):
    """A WiPy, LoPy, LoPy4, SiPy, GPy or FiPy."""

    def __init__(self):
        super().__init__()
        self._switched = False
        self._slot = None

    def connect_wifi(self, ssid, password, timeout_s):
        from network import WLAN

        wlan = WLAN(mode=WLAN.STA)
        if not (wlan.isconnected() and wlan.ssid() == ssid):
            wlan.connect(ssid, auth=(WLAN.WPA2, password), timeout=timeout_s * 1000)
            self.wait_for(wlan.isconnected, timeout_s)

    def slot_bytes(self):
        # The boards with external RAM are the ones with 8 MB of flash.
        return SLOT_BYTES_8MB if isinstance(pycom.get_free_heap()[1], int) else SLOT_BYTES_4MB

    def open_slot(self, progress_path, sha256):
        if self._switched:
            # A second ota_start would write over the running firmware.
            raise FirmwareError("a firmware was installed already; reset before the next")
        self._slot = _PycomSlot("ota_0" if self.running_slot() == "Factory" else "Factory")
        return self._slot

    def boot_slot(self, name):
        if self._slot and self._slot.name == name:
            self._switched = True
            pycom.ota_finish()
        else:
            super().boot_slot(name)


class _PycomSlot:
    """The other slot. It can't be read back, so a new boot begins again."""

    def __init__(self, name):
        self.name = name
        self._started = False

    def resume(self, buf, limit_bytes, update_hash):
        pycom.ota_start()
        self._started = False
        return 0

    def write(self, data):
        if not self._started:
            check_image_start(data)
            self._started = True
        pycom.ota_write(data)

    def restart(self):
        """Nothing is kept: resume starts over."""

    def close(self):
        """Nothing is open: ota_finish would switch slots."""

    def check(self):
        if not pycom.ota_verify():
            raise FirmwareError("the board finds the firmware image invalid")
