"""Linux as a board, under MicroPython or CPython: gateways, and trying things out.

Below one folder lie ``flash`` and ``sd``; a firmware slot is a file, and the file
``boot`` names the slot that the next start uses.
"""

import os
import time

from ota_board import MicroPythonBoard, check_image_start
from ota_recovery import exists

SLOT_BYTES = 4194304
SLOTS = ("slot0", "slot1")


class LinuxBoard(MicroPythonBoard):
    """A folder as flash. ``reset`` is called where a board would reset; it must not return."""

    takes_firmware = True

    def __init__(self, folder, reset, slot_bytes=SLOT_BYTES):
        self._folder = folder
        self._reset = reset
        self._slot_bytes = slot_bytes
        self.roots = {"flash": folder + "/flash", "sd": folder + "/sd"}
        for path in self.roots.values():
            if not exists(path):
                os.mkdir(path)
        self._running = self._boot_file() or SLOTS[0]

    def reset(self):
        self._reset()

    def alarm(self, delay_s, callback):
        """Nothing: whoever started the application watches over it."""

    def running_slot(self):
        return self._running

    def boot_slot(self, name):
        with open(self._folder + "/boot", "w") as chosen:
            chosen.write(name)

    def keep_slot(self):
        """Nothing: the file ``boot`` does not change by itself."""

    def connect_wifi(self, ssid, password, timeout_s):
        """Nothing to do: Linux has its network already."""

    def slot_bytes(self):
        return self._slot_bytes

    def open_slot(self, progress_path, sha256):
        name = SLOTS[1] if self._running == SLOTS[0] else SLOTS[0]
        from ota_sink import FileSink  # when it is needed, and no sooner

        return _FileSlot(name, FileSink("{}/{}".format(self._folder, name)))

    def ticks_ms(self):
        return time.ticks_ms() if hasattr(time, "ticks_ms") else int(time.monotonic() * 1000)

    def elapsed_ms(self, start_ms):
        if hasattr(time, "ticks_diff"):
            return time.ticks_diff(time.ticks_ms(), start_ms)
        return self.ticks_ms() - start_ms

    def sleep_ms(self, ms):
        time.sleep(ms / 1000)

    def _boot_file(self):
        try:
            with open(self._folder + "/boot", "r") as chosen:
                return chosen.read()
        except OSError:
            return None


class _FileSlot:
    """The other slot, as a file."""

    def __init__(self, name, sink):
        self.name = name
        self._begun = False
        self._sink = sink
        self.restart = sink.restart
        self.close = sink.close

    def resume(self, buf, limit_bytes, update_hash):
        size = self._sink.resume(buf, limit_bytes, update_hash)
        self._begun = size > 0
        return size

    def write(self, data):
        if not self._begun:
            check_image_start(data)
            self._begun = True
        self._sink.write(data)

    def check(self):
        """Nothing to add to the hash."""
