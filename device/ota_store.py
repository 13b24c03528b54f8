"""Third step of an update: check the free space and back up what will be replaced."""

import os

from ota_errors import SpaceError
from ota_files import (
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
    """The contents in ``.ota``, named by SHA-256: what installing and rolling back need.

    Args:
        layout: a Layout whose draft has been written.
    """

    def __init__(self, layout):
        self._layout = layout

    def check_space(self):
        """Raise SpaceError if the update or its rollback does not fit."""
        needs = {}
        for root, folder in self._layout.board.roots.items():
            need, free, file_system = self._need_bytes(root, folder)
            if root == "flash":
                need += self._copies_bytes()
            # Roots may share a file system, and its space.
            need += needs.get(file_system, 0)
            needs[file_system] = need
            if need > free:
                raise SpaceError(
                    "the update needs {} bytes on {}, {} are free".format(need, root, free)
                )

    def keep_old(self):
        """Copy what the update replaces or deletes; moved files then need no download."""
        buf = bytearray(BUFFER_BYTES)
        with self._layout.drafted() as drafted:
            for path, _, _, old_sha256, _, _ in drafted:
                self._layout.board.feed_watchdog()
                stored = self._layout.stored(path, old_sha256)
                if old_sha256 != NONE and file_sha256(stored, buf) != old_sha256:
                    copy_file(self._layout.absolute(path), stored, old_sha256, buf)

    def keep_record(self, record):
        """Store the new version record, the only content that is not downloaded.

        Args:
            record: its content, as bytes.
        """
        with open(self._layout.stored(VERSION_RECORD, sha256_hex(record)), "wb") as copy:
            copy.write(record)

    def _need_bytes(self, root, folder):
        """Return the bytes needed on a root at the fullest moment, the bytes free, and a key.

        The key is the same for roots on one file system: its size, for want of a name.

        An update may be rolled back from any point, so each file counts with the larger of
        its two sizes; and some file systems keep the old content until the new is complete.
        """
        stored = growth = largest = folders = entries = free = file_system = 0
        block = SMALLEST_BLOCK_BYTES
        before = ""
        with self._layout.drafted() as drafted:
            for path, sha256, size, old_sha256, old_size, _ in drafted:
                if path.split("/", 1)[0] != root:
                    continue
                self._layout.board.feed_watchdog()
                if not entries:
                    block, free, file_system = self._blocks(folder)
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
            return 0, 0, None
        # In addition: the journal, directory entries, and the file system's own data.
        spare = SPARE_BLOCKS + entries // 8 + folders * FOLDER_BLOCKS
        return (stored + growth + largest + spare) * block, free, file_system

    def _copies_bytes(self):
        """Return the bytes that the copies of recovery need; see ota_aside."""
        from ota_aside import copies

        return sum(
            -(-os.stat(path)[6] // SMALLEST_BLOCK_BYTES) * SMALLEST_BLOCK_BYTES
            for path, copy in copies(self._layout)
            if not exists(copy)
        )

    def _new_folders(self, path, before):
        """Return how many folders a path needs, not counting those of the path ``before``."""
        count = 0
        at = path.find("/", path.find("/") + 1)
        while at > 0:
            if not before.startswith(path[: at + 1]):
                count += not exists(self._layout.absolute(path[:at]))
            at = path.find("/", at + 1)
        return count

    def _blocks(self, folder):
        try:
            stat = os.statvfs(folder or "/")
        except OSError:
            raise SpaceError("there is no file system at {}".format(folder))
        return max(stat[0], SMALLEST_BLOCK_BYTES), stat[1] * stat[4], (stat[0], stat[2])

    def _stored_blocks(self, path, sha256, block):
        stored = self._layout.stored(path, sha256)
        return -(-os.stat(stored)[6] // block) if exists(stored) else 0
