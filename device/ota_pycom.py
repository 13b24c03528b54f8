"""Pycom boards: firmware through ``pycom``, and Pycom's own WLAN class."""

import pycom
from ota_board import MicroPythonBoard
from ota_errors import FirmwareError
from ota_port_pycom import Pycom

# ota_write does not check bounds; other partitions follow the slot.
SLOT_BYTES_4MB = 1757184
SLOT_BYTES_8MB = 2023424


class PycomBoard(Pycom, MicroPythonBoard):
    """A WiPy, LoPy, LoPy4, SiPy, GPy or FiPy."""

    def __init__(self):
        super().__init__()
        self._switched = False
        self._slot = None

    def connect_wifi(self, ssid, password, timeout_s):
        """See MicroPythonBoard.connect_wifi."""
        from network import WLAN

        wlan = WLAN(mode=WLAN.STA)
        if not (wlan.isconnected() and wlan.ssid() == ssid):
            wlan.connect(ssid, auth=(WLAN.WPA2, password), timeout=timeout_s * 1000)
            self.wait_for(wlan.isconnected, timeout_s)

    def slot_bytes(self):
        """See MicroPythonBoard.slot_bytes."""
        # Boards with external RAM are those with 8 MB of flash.
        return SLOT_BYTES_8MB if isinstance(pycom.get_free_heap()[1], int) else SLOT_BYTES_4MB

    def open_slot(self, progress_path, sha256):
        """Return the inactive slot as a sink; see ota_board."""
        if self._switched:
            # A second ota_start would overwrite the running firmware.
            raise FirmwareError("firmware has already been installed; reset first")
        self._slot = _PycomSlot("ota_0" if self.running_slot() == "Factory" else "Factory")
        return self._slot

    def boot_slot(self, name):
        """See ota_ports.Board.boot_slot."""
        if self._slot and self._slot.name == name:
            self._switched = True
            pycom.ota_finish()
        else:
            super().boot_slot(name)


class _PycomSlot:
    """The inactive slot. It can't be read back, so a download starts over after a reset."""

    def __init__(self, name):
        self.name = name
        self._written_bytes = 0

    def resume(self, buf, limit_bytes, update_hash):
        """Start over and return 0."""
        from ota_image import check_part  # only when needed, to save memory

        self._check = check_part
        pycom.ota_start()
        self._written_bytes = 0
        return 0

    def write(self, data):
        """Write up to 4096 bytes; FirmwareError if it is no image."""
        self._check(data, self._written_bytes)
        pycom.ota_write(data)
        self._written_bytes += len(data)

    def restart(self):
        """Do nothing: resume starts over."""

    def close(self):
        """Do nothing: ota_finish would switch slots."""

    def check(self):
        """Raise FirmwareError if the board finds the image invalid."""
        if not pycom.ota_verify():
            raise FirmwareError("the board finds the firmware image invalid")
