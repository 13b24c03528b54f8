"""How much room an update needs on one file system, on the way forward and back."""

import os

from ota_files import NONE, exists
from ota_moved import is_moved
from ota_wanted import is_copied, renames, wanted

# Each file has blocks of its own; Pycom's LittleFS puts not even the smallest elsewhere.
SMALLEST_BLOCK_BYTES = 4096
# The journal, its notes and the outcome, and what the file system needs to write anything.
SPARE_BLOCKS = 6
# Entries of the journal, or names in a folder, to a block.
ENTRIES_A_BLOCK = 16
FOLDER_BLOCKS = 2
# For notes and the outcome while an application has filled the rest.
ROOM_BLOCKS = 1


class Need:
    """What the entries of one root need, in blocks.

    An update may be rolled back from any point, so each file that is copied into place counts
    with the larger of its two sizes; and some file systems keep the old content until the
    new is complete.

    Args:
        layout: a Layout whose draft has been written.
        root: name of the root.
        block_bytes: size of its blocks.
    """

    def __init__(self, layout, root, block_bytes):
        self._layout = layout
        self._block_bytes = block_bytes
        self._renames = renames(layout.roots, root)
        with layout.drafted() as drafted:
            self._forward = wanted(drafted, back=False)
        with layout.drafted() as drafted:
            self._back = wanted(drafted, back=True)
        self._stored = self._placed = self._largest = self._folders = self._entries = 0
        self._room = self._news = self._olds = 0
        self._before = ""

    def add(self, path, sha256, size, old_sha256, old_size):
        """Add an entry.

        Args:
            path, sha256, size, old_sha256, old_size: as in the draft.
        """
        size = -(-int(size) // self._block_bytes)
        old_size = -(-int(old_size) // self._block_bytes)
        self._entries += 1
        self._news += size
        self._olds += old_size
        renamed = self._renames and not is_copied(path)
        if sha256 != NONE:
            if not is_moved(self._layout, path, sha256, self._forward):
                self._stored += size - self._stored_blocks(path, sha256)
            self._folders += self._new_folders(path)
        if old_sha256 != NONE and not renamed:
            self._stored += old_size - self._stored_blocks(path, old_sha256)
        if not renamed:
            self._placed += max(0, size - old_size)
            self._largest = max(self._largest, size, old_size)
        elif sha256 != NONE and self._forward.again(sha256):
            self._placed += size
        if renamed and old_sha256 != NONE and self._back.again(old_sha256):
            self._room += old_size
        elif self._renames and not renamed:
            # It goes back as a copy, and only what the store has of the new one goes before.
            self._room += max(0, old_size - size)
        self._before = path

    def forward(self):
        """Return what installing needs."""
        spare = SPARE_BLOCKS + self._entries // ENTRIES_A_BLOCK * 2
        spare += self._folders * FOLDER_BLOCKS
        return self._stored + self._placed + self._largest + spare

    def back(self):
        """Return what going back needs when an application has filled the rest.

        Where contents are copied, those of the new release are removed first.
        """
        copies = 0 if self._renames else max(0, self._olds - self._news)
        return ROOM_BLOCKS + copies + self._room

    def _new_folders(self, path):
        """Return how many folders a path needs, not counting those of the entry before."""
        count = 0
        at = path.find("/", path.find("/") + 1)
        while at > 0:
            if not self._before.startswith(path[: at + 1]):
                count += not exists(self._layout.absolute(path[:at]))
            at = path.find("/", at + 1)
        return count

    def _stored_blocks(self, path, sha256):
        stored = self._layout.stored(path, sha256)
        return -(-os.stat(stored)[6] // self._block_bytes) if exists(stored) else 0
