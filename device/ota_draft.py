"""The second part of an update: what has to change, checked and written to flash.

The draft is a file with a line for each change: path, new SHA-256 and size, old
SHA-256 and size, path on the server. Nothing but the library's own folder is touched.
"""

import os

from ota_errors import FirmwareError, ManifestError, SpaceError
from ota_recovery import NONE, VERSION_RECORD, exists, file_sha256
from ota_transaction import sha256_hex

SMALLEST_BLOCK_BYTES = 4096
SPARE_BLOCKS = 8
BUFFER_BYTES = 512


class Draft:
    """Makes the draft of one update of ``ota`` out of what ota_manifest returned."""

    def __init__(self, ota, transaction, plan):
        self._board = ota.board
        self._skip_firmware = ota.skip_firmware
        self._transaction = transaction
        self._version, self._previous_version, self._firmware, self._spans = plan
        self._buf = bytearray(BUFFER_BYTES)

    def make(self, versions):
        """Return what ota_stage.Stage has to know beside the draft, None if nothing is to do.

        That is (version, previous version, version record, firmware, bytes to fetch).
        versions: (files, firmware) as the device has them, None where unknown.
        """
        if versions[0] and self._previous_version not in (None, versions[0]):
            raise ManifestError("is for {}".format(self._previous_version))
        firmware = self._accept_firmware()
        record = self._version_record(versions, firmware)
        self._forget_other_sources()
        count, fetch_bytes = self._write(record)
        if not count and firmware is None:
            return None
        self._check_space()
        # The plan is checked: here is where it is asked who made it, before it is followed.
        if firmware:
            fetch_bytes += firmware[1]
        # A tuple: an object would keep this module in memory, by way of its class.
        return self._version, self._previous_version or "", record, firmware, fetch_bytes

    def _accept_firmware(self):
        firmware = self._firmware
        if firmware is None:
            return None
        _, size, _, version = firmware
        if self._board.takes_firmware and size <= self._board.slot_bytes():
            return firmware
        reason = "this board can't take the firmware {}, {} bytes".format(version, size)
        if not self._skip_firmware:
            raise FirmwareError(reason)
        self._transaction.log(reason)
        return None

    def _version_record(self, versions, firmware):
        files_version, firmware_version = versions
        brings_files = any(end > start for start, end in self._spans)
        # A manifest that brings only firmware has the firmware's version, not the files'.
        if brings_files or self._firmware is None or self._version != self._firmware[3]:
            files_version = self._version
        if firmware:
            firmware_version = firmware[3]
        lines = ""
        if files_version:
            lines += "VERSION = '{}'\n".format(files_version)
        if firmware_version:
            lines += "FIRMWARE_VERSION = '{}'\n".format(firmware_version)
        return lines.encode()

    def _forget_other_sources(self):
        """Keep what an earlier attempt has stored only if it was for this same manifest."""
        source = self._transaction.folder + "/source"
        sha256 = file_sha256(self._transaction.folder + "/manifest", self._buf)
        if exists(source):
            with open(source, "r") as known:
                if known.read() == sha256:
                    return
        self._transaction.forget_contents()
        with open(source, "w") as known:
            known.write(sha256)

    def _write(self, record):
        """Write what has to change; return how many entries, and the bytes to fetch."""
        count = fetch_bytes = 0
        lists = [_List(self._transaction.folder + "/manifest", span) for span in self._spans]
        try:
            with open(self._transaction.draft, "wb") as draft:
                fields = _next_entry(lists, "")
                while fields:
                    if fields[0] == VERSION_RECORD:
                        self._transaction.log("the release's own version record is left out")
                    elif self._write_one(draft, *fields):
                        count += 1
                        fetch_bytes += int(fields[2])
                    fields = _next_entry(lists, fields[0])
                sha256 = sha256_hex(record)
                if self._write_one(draft, VERSION_RECORD, sha256, str(len(record)), NONE):
                    count += 1
        finally:
            for one in lists:
                one.close()
        return count, fetch_bytes

    def _write_one(self, draft, path, sha256, size, url_path):
        """Write an entry if it is not what is there already; say whether it was written."""
        target = self._transaction.absolute(path)
        old_sha256 = file_sha256(target, self._buf) or NONE
        if old_sha256 == sha256:
            return False
        old_size = "0" if old_sha256 == NONE else str(os.stat(target)[6])
        draft.write(
            ("\t".join((path, sha256, size, old_sha256, old_size, url_path)) + "\n").encode()
        )
        return True

    def _check_space(self):
        for root, folder in self._board.roots.items():
            need, free = self._need_bytes(root, folder)
            if need > free:
                raise SpaceError(
                    "the update needs {} bytes on {}, {} are free".format(need, root, free)
                )

    def _need_bytes(self, root, folder):
        """Return the bytes needed at the fullest moment below a root, and the bytes free."""
        stored = running = peak = entries = free = 0
        block = SMALLEST_BLOCK_BYTES
        with self._transaction.drafted() as drafted:
            for path, sha256, size, old_sha256, old_size, _ in drafted:
                if path.partition("/")[0] != root:
                    continue
                if not entries:
                    block, free = self._blocks(folder)
                entries += 1
                size, old_size = -(-int(size) // block), -(-int(old_size) // block)
                if sha256 != NONE:
                    stored += size - self._stored_blocks(path, sha256, block)
                if old_sha256 != NONE:
                    stored += old_size - self._stored_blocks(path, old_sha256, block)
                # The old file's blocks are free only when the new one is in its place.
                peak = max(peak, running + size)
                running += size - old_size
        if not entries:
            return 0, 0
        # Beside the files: the journal, folders' entries, and the file system's own.
        return (stored + peak + SPARE_BLOCKS + entries // 8) * block, free

    def _blocks(self, folder):
        try:
            stat = os.statvfs(folder or "/")
        except OSError:
            raise SpaceError("there is no file system at {}".format(folder))
        return max(stat[0], SMALLEST_BLOCK_BYTES), stat[1] * stat[4]

    def _stored_blocks(self, path, sha256, block):
        stored = self._transaction.stored(path, sha256)
        return -(-os.stat(stored)[6] // block) if exists(stored) else 0


class _List:
    """One list of the manifest, an entry at a time."""

    def __init__(self, path, span):
        self._file = open(path, "rb")
        self._file.seek(span[0])
        self._left = span[1] - span[0]
        self.advance()

    def advance(self):
        self.fields = None
        if self._left > 0:
            line = self._file.readline()
            self._left -= len(line)
            self.fields = line.decode().rstrip("\n").split("\t")

    def close(self):
        self._file.close()


def _next_entry(lists, last):
    """Return the next entry of all lists in the order of their paths, None at the end."""
    first = None
    for one in lists:
        if one.fields and (first is None or one.fields[0] < first.fields[0]):
            first = one
    if first is None:
        return None
    fields = first.fields
    if fields[0] <= last:
        raise ManifestError("lists {} twice".format(fields[0]))
    first.advance()
    return fields
