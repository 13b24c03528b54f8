"""Third step of an update: check the free space and back up what will be replaced."""

import os

from ota_errors import SpaceError
from ota_files import (
    ENTRY_FIELDS,
    FOLDER,
    NONE,
    ROOM,
    VERSION_RECORD,
    copy_file,
    exists,
    file_sha256,
    sha256_hex,
)
from ota_need import SMALLEST_BLOCK_BYTES, Need
from ota_wanted import is_copied, renames

BUFFER_BYTES = 512
# LittleFS gives a file that is no larger no block of its own.
INLINE_BYTES = 1024


class Store:
    """The contents in ``.ota``, named by SHA-256: what installing and rolling back need.

    Args:
        layout: a Layout whose draft has been written.
    """

    def __init__(self, layout):
        self._layout = layout

    def check_space(self):
        """Raise SpaceError if the update or its rollback does not fit; else set room aside."""
        needs = {}
        rooms = []
        for root, folder in self._layout.board.roots.items():
            need, room, free, file_system = self._need_bytes(root, folder)
            if root == "flash":
                need += self._copies_bytes()
            # Roots may share a file system, and its space.
            need += room + needs.get(file_system, 0)
            needs[file_system] = need
            if need > free:
                raise SpaceError(
                    "the update needs {} bytes on {}, {} are free".format(need, root, free)
                )
            rooms.append((folder, room))
        for folder, room in rooms:
            self._set_aside(folder, room)

    def keep_old(self):
        """Copy into the store what can't be renamed into it when it is replaced or deleted."""
        buf = bytearray(BUFFER_BYTES)
        roots = self._layout.roots
        with self._layout.drafted() as drafted:
            for path, _, _, old_sha256, _, _ in drafted:
                self._layout.board.feed_watchdog()
                if old_sha256 == NONE:
                    continue
                stored = self._layout.stored(path, old_sha256)
                copied = is_copied(path) or not renames(roots, path.split("/", 1)[0])
                if copied and file_sha256(stored, buf) != old_sha256:
                    copy_file(self._layout.absolute(path), stored, old_sha256, buf)

    def keep_record(self, record):
        """Store the new version record, the only content that is not downloaded.

        Args:
            record: its content, as bytes.
        """
        with open(self._layout.stored(VERSION_RECORD, sha256_hex(record)), "wb") as copy:
            copy.write(record)

    def _need_bytes(self, root, folder):
        """Return what a root needs at the fullest moment and for going back, and what is free.

        All are in bytes. A fourth value is the same for roots on one file system: its size,
        for want of a name.
        """
        if not self._has_entries(root):
            return 0, 0, 0, None
        block, free, file_system = self._blocks(folder)
        need = Need(self._layout, root, block)
        with self._layout.drafted() as drafted:
            for entry in drafted:
                if entry[0].startswith(root + "/"):
                    self._layout.board.feed_watchdog()
                    need.add(*entry[:ENTRY_FIELDS])
        return need.forward() * block, need.back() * block, free, file_system

    def _has_entries(self, root):
        with self._layout.drafted() as drafted:
            return any(entry[0].startswith(root + "/") for entry in drafted)

    def _set_aside(self, folder, room_bytes):
        """Let a file take the room that going back needs, until then."""
        if not room_bytes:
            return
        room = "{}/{}/{}".format(folder, FOLDER, ROOM)
        manifest = "{}/{}/manifest".format(folder, FOLDER)
        if renames(self._layout.roots, "flash") and exists(manifest):
            # It isn't needed any more, and has blocks.
            os.rename(manifest, room)
        size = os.stat(room)[6] if exists(room) else 0
        if size > INLINE_BYTES and room_bytes - size < SMALLEST_BLOCK_BYTES:
            return  # as many blocks
        with open(room, "ab") as target:
            zeros = bytes(BUFFER_BYTES)
            while size < room_bytes:
                target.write(zeros)
                size += BUFFER_BYTES

    def _copies_bytes(self):
        """Return the bytes that the copies of recovery need; see ota_aside."""
        from ota_aside import copies

        return sum(
            -(-os.stat(path)[6] // SMALLEST_BLOCK_BYTES) * SMALLEST_BLOCK_BYTES
            for path, copy in copies(self._layout)
            if not exists(copy)
        )

    def _blocks(self, folder):
        try:
            stat = os.statvfs(folder or "/")
        except OSError:
            raise SpaceError("there is no file system at {}".format(folder))
        return max(stat[0], SMALLEST_BLOCK_BYTES), stat[1] * stat[4], (stat[0], stat[2])
