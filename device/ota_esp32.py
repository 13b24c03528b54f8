"""Stock ESP32 boards: ``esp32.Partition`` for the firmware."""

import os

from esp32 import Partition
from ota_board import MicroPythonBoard, check_image_start
from ota_recovery import Esp32

BLOCK_BYTES = 4096
MARK_BLOCKS = 16


class Esp32Board(Esp32, MicroPythonBoard):
    """An ESP32 with MicroPython's own firmware."""

    def slot_bytes(self):
        try:
            info = Partition(Partition.RUNNING).get_next_update().info()
        except OSError:
            return 0  # a partition table without slots
        # With a single slot, that is the one that runs.
        return 0 if info[4] == self.running_slot() else info[3]

    def open_slot(self, progress_path, sha256):
        partition = Partition(Partition.RUNNING).get_next_update()
        return BlockSlot(partition, partition.info()[4], progress_path, sha256)


class BlockSlot:
    """A slot of 4096-byte blocks that can be read back, so that a reset costs little."""

    def __init__(self, partition, name, progress_path, sha256):
        self.name = name
        self._partition = partition
        self._progress_path = progress_path
        self._sha256 = sha256
        self._block = 0
        self._progress = None

    def resume(self, buf, limit_bytes, update_hash):
        """Hash what an earlier boot has written of the same image; return how much."""
        self._block = 0
        marks = self._marks(limit_bytes)
        self._progress = open(self._progress_path, "ab" if marks else "wb")
        if not marks:
            self._progress.write(self._sha256.encode())
        while self._block < marks * MARK_BLOCKS:
            self._partition.readblocks(self._block, buf)
            update_hash(buf)
            self._block += 1
        return self._block * BLOCK_BYTES

    def write(self, data):
        """Write a block; only the last may be shorter."""
        if self._block == 0:
            check_image_start(data)
        if len(data) < BLOCK_BYTES:
            data = bytes(data) + b"\xff" * (BLOCK_BYTES - len(data))
        self._partition.writeblocks(self._block, data)
        self._block += 1
        if self._block % MARK_BLOCKS == 0:
            # One mark for so many blocks: cheap, and in order.
            self._progress.write(b".")
            self._progress.flush()

    def restart(self):
        """Forget what was written."""
        self.close()
        try:
            os.remove(self._progress_path)
        except OSError:
            pass  # never begun

    def close(self):
        """Close the record of progress; it stays."""
        if self._progress:
            self._progress.close()
            self._progress = None

    def check(self):
        """Nothing to add: set_boot validates the image."""

    def _marks(self, limit_bytes):
        try:
            with open(self._progress_path, "rb") as progress:
                if progress.read(64) != self._sha256.encode():
                    return 0
                marks = 0
                while progress.read(1):
                    marks += 1
        except OSError:
            return 0
        return marks if marks * MARK_BLOCKS * BLOCK_BYTES <= limit_bytes else 0
