"""Linux as a board, under MicroPython or CPython: for gateways and experiments.

One folder holds ``flash`` and ``sd``, a file for each firmware slot, and the file ``boot``,
which names the slot to boot from.
"""

import os
import time

from ota_board import MicroPythonBoard
from ota_files import exists

SLOT_BYTES = 4194304
SLOTS = ("slot0", "slot1")


class LinuxBoard(MicroPythonBoard):
    """A board in a folder.

    Args:
        folder: path of an existing folder.
        reset: called where a board would reset; must not return.
        slot_bytes: size of a firmware slot.
    """

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
        """Call the function given as ``reset``."""
        self._reset()

    def alarm(self, delay_s, callback):
        """Do nothing: whatever started the application supervises it."""

    def running_slot(self):
        """See ota_ports.Board.running_slot."""
        return self._running

    def boot_slot(self, name):
        """See ota_ports.Board.boot_slot."""
        with open(self._folder + "/boot", "w") as chosen:
            chosen.write(name)

    def keep_slot(self):
        """Do nothing: the file ``boot`` doesn't change by itself."""

    def connect_wifi(self, ssid, password, timeout_s):
        """Do nothing: Linux manages its own network."""

    def slot_bytes(self):
        """See MicroPythonBoard.slot_bytes."""
        return self._slot_bytes

    def open_slot(self, progress_path, sha256):
        """Return the inactive slot as a sink; see ota_board."""
        name = SLOTS[1] if self._running == SLOTS[0] else SLOTS[0]
        from ota_sink import FileSink  # only when needed, to save memory

        return _FileSlot(name, FileSink("{}/{}".format(self._folder, name)))

    def ticks_ms(self):
        """See MicroPythonBoard.ticks_ms."""
        return time.ticks_ms() if hasattr(time, "ticks_ms") else int(time.monotonic() * 1000)

    def elapsed_ms(self, start_ms):
        """See MicroPythonBoard.elapsed_ms."""
        if hasattr(time, "ticks_diff"):
            return time.ticks_diff(time.ticks_ms(), start_ms)
        return self.ticks_ms() - start_ms

    def _boot_file(self):
        try:
            with open(self._folder + "/boot", "r") as chosen:
                return chosen.read()
        except OSError:
            return None


class _FileSlot:
    """The inactive slot, as a file."""

    def __init__(self, name, sink):
        self.name = name
        from ota_image import check_part  # only when needed, to save memory

        self._check = check_part
        self._written_bytes = 0
        self._sink = sink
        self.restart = sink.restart
        self.close = sink.close

    def resume(self, buf, limit_bytes, update_hash):
        """See FileSink.resume."""
        self._written_bytes = self._sink.resume(buf, limit_bytes, update_hash)
        return self._written_bytes

    def write(self, data):
        """Append ``data``; FirmwareError if it is no image."""
        self._check(data, self._written_bytes)
        self._sink.write(data)
        self._written_bytes += len(data)

    def check(self):
        """Do nothing: the SHA-256 has been checked."""
