"""The third part of an update: it has to fit, and what it replaces is copied."""

import os

from ota_errors import SpaceError
from ota_recovery import (
    NONE,
    VERSION_RECORD,
    copy_file,
    exists,
    file_sha256,
    sha256_hex,
)

SMALLEST_BLOCK_BYTES = 4096
SPARE_BLOCKS = 8
FOLDER_BLOCKS = 2
BUFFER_BYTES = 512


class Store:
    """The contents in ``.ota``, by hash: what an update needs to stay, and to go back."""

    def __init__(self, recovery):
        self._recovery = recovery

    def check_space(self):
        """Raise SpaceError if the update, or going back from it, does not fit."""
        for root, folder in self._recovery.board.roots.items():
            need, free = self._need_bytes(root, folder)
            if need > free:
                raise SpaceError(
                    "the update needs {} bytes on {}, {} are free".format(need, root, free)
                )

    def keep_old(self):
        """Copy what the update replaces or deletes; a moved file need not be fetched then."""
        buf = bytearray(BUFFER_BYTES)
        with self._recovery.drafted() as drafted:
            for path, _, _, old_sha256, _, _ in drafted:
                self._recovery.board.feed_watchdog()
                stored = self._recovery.stored(path, old_sha256)
                if old_sha256 != NONE and file_sha256(stored, buf) != old_sha256:
                    copy_file(self._recovery.absolute(path), stored, old_sha256, buf)

    def keep_record(self, record):
        """Store the new version record, the one content that is not fetched."""
        with open(self._recovery.stored(VERSION_RECORD, sha256_hex(record)), "wb") as copy:
            copy.write(record)

    def _need_bytes(self, root, folder):
        """Return the bytes needed at the fullest moment below a root, and the bytes free.

        The update may stop anywhere and go back, so each file counts as the larger of its
        two states; and while one is written, some file systems keep the other until its end.
        """
        stored = growth = largest = folders = entries = free = 0
        block = SMALLEST_BLOCK_BYTES
        before = ""
        with self._recovery.drafted() as drafted:
            for path, sha256, size, old_sha256, old_size, _ in drafted:
                if path.split("/", 1)[0] != root:
                    continue
                self._recovery.board.feed_watchdog()
                if not entries:
                    block, free = self._blocks(folder)
                entries += 1
                size, old_size = -(-int(size) // block), -(-int(old_size) // block)
                if sha256 != NONE:
                    stored += size - self._stored_blocks(path, sha256, block)
                    folders += self._new_folders(path, before)
                if old_sha256 != NONE:
                    stored += old_size - self._stored_blocks(path, old_sha256, block)
                growth += max(0, size - old_size)
                largest = max(largest, size, old_size)
                before = path
        if not entries:
            return 0, 0
        # Beside the files: the journal, folders' entries, and the file system's own.
        spare = SPARE_BLOCKS + entries // 8 + folders * FOLDER_BLOCKS
        return (stored + growth + largest + spare) * block, free

    def _new_folders(self, path, before):
        """Return how many folders have to be made for a path; those of ``before`` are there."""
        count = 0
        at = path.find("/", path.find("/") + 1)
        while at > 0:
            if not before.startswith(path[: at + 1]):
                count += not exists(self._recovery.absolute(path[:at]))
            at = path.find("/", at + 1)
        return count

    def _blocks(self, folder):
        try:
            stat = os.statvfs(folder or "/")
        except OSError:
            raise SpaceError("there is no file system at {}".format(folder))
        return max(stat[0], SMALLEST_BLOCK_BYTES), stat[1] * stat[4]

    def _stored_blocks(self, path, sha256, block):
        stored = self._recovery.stored(path, sha256)
        return -(-os.stat(stored)[6] // block) if exists(stored) else 0
