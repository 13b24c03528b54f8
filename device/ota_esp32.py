"""Stock ESP32 boards, whose firmware is written through ``esp32.Partition``.

Source: "Partition Tables" and "Over The Air Updates" in the ESP-IDF Programming Guide.
"""

import os

from esp32 import Partition
from ota_board import MicroPythonBoard
from ota_port_esp32 import Esp32

BLOCK_BYTES = 4096
MARK_BLOCKS = 16
HEAD_BYTES = 24


class Esp32Board(Esp32, MicroPythonBoard):
    """An ESP32 with MicroPython's own firmware."""

    def slot_bytes(self):
        """See MicroPythonBoard.slot_bytes."""
        try:
            info = Partition(Partition.RUNNING).get_next_update().info()
        except OSError:
            return 0  # the partition table has no OTA slots
        # With a single slot, the next one is the running one.
        return 0 if info[4] == self.running_slot() else info[3]

    def open_slot(self, progress_path, sha256):
        """Return the inactive slot as a sink; see ota_board."""
        partition = Partition(Partition.RUNNING).get_next_update()
        running = bytearray(HEAD_BYTES)
        Partition(Partition.RUNNING).readblocks(0, running)
        return BlockSlot(partition, partition.info()[4], progress_path, sha256, running)


class BlockSlot:
    """A firmware slot, written in blocks of 4096 bytes; a download resumes after a reset.

    Args:
        partition: an ``esp32.Partition``.
        name: its label.
        progress_path: file that records progress: the SHA-256 in hex, then a dot for each
            MARK_BLOCKS blocks written.
        sha256: of the image, in hex.
        running: the first bytes of the running image, None if unknown.
    """

    def __init__(self, partition, name, progress_path, sha256, running=None):
        from ota_image import check_part  # only when needed, to save memory

        self.name = name
        self._check = check_part
        self._running = running
        self._partition = partition
        self._progress_path = progress_path
        self._sha256 = sha256
        self._block = 0
        self._progress = None

    def resume(self, buf, limit_bytes, update_hash):
        """Hash the blocks of this image that an earlier boot wrote; see FileSink.resume."""
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
        """Write ``data``, a block; only the last may be shorter. FirmwareError if no image."""
        self._check(data, self._block * BLOCK_BYTES, self._running)
        if len(data) < BLOCK_BYTES:
            data = bytes(data) + b"\xff" * (BLOCK_BYTES - len(data))
        self._partition.writeblocks(self._block, data)
        self._block += 1
        if self._block % MARK_BLOCKS == 0:
            # One mark for several blocks: cheap, and never ahead of them.
            self._progress.write(b".")
            self._progress.flush()

    def restart(self):
        """Discard what was written."""
        self.close()
        try:
            os.remove(self._progress_path)
        except OSError:
            pass  # never started

    def close(self):
        """Close the progress file, which is kept."""
        if self._progress:
            self._progress.close()
            self._progress = None

    def check(self):
        """Do nothing: set_boot validates the image."""

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
