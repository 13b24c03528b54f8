"""One update as the library sees it: how its journal comes about, and how its trial ends."""

import os

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_recovery import ENTRY_FIELDS, FOLDER, HASH_DIGITS, NONE, Lines, Recovery, exists, remove

DRAFT_FIELDS = ENTRY_FIELDS + 1
# What a new attempt may go on with, beside the contents.
KEPT = ("outcome", "source", "slot")


def sha256_hex(data):
    """Return the SHA-256 of ``data`` in hex."""
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


class Transaction(Recovery):
    """Begins, commits and ends updates; what lies between these is Recovery's."""

    def __init__(self, board, log=None):
        super().__init__(board, log)
        self.draft = self.folder + "/draft"

    def begin(self):
        """Make room for a new journal; contents in the store stay. Only when idle."""
        for root in self.board.roots.values():
            if (root == "" or exists(root)) and not exists(root + "/" + FOLDER):
                os.mkdir(root + "/" + FOLDER)
        remove(self.journal)
        if not exists(self.folder + "/outcome"):
            # So that no new name is needed in the end: FAT can lose one.
            open(self.folder + "/outcome", "w").close()
        self.clear(lambda name: len(name) < HASH_DIGITS and name not in KEPT)

    def forget_contents(self):
        """Empty the store, and forget how far a firmware came."""
        self.clear(lambda name: len(name) == HASH_DIGITS or name == "slot")

    def drafted(self):
        """Return the Lines of the draft, see ota_draft."""
        return Lines(self.draft, DRAFT_FIELDS)

    def commit(self, header):
        """Write the journal, out of the draft. From here on the update takes place."""
        with open(self.journal, "wb") as journal:
            sha256 = hashlib.sha256()
            try:
                self._write_line(journal, sha256, header)
                # boot.py last: should FAT lose it, all that main.py needs is in place.
                for boot_py in (False, True):
                    with self.drafted() as entries:
                        for fields in entries:
                            if (fields[0] == "flash/boot.py") == boot_py:
                                self._write_line(journal, sha256, fields[:ENTRY_FIELDS])
            finally:
                digest = sha256.digest()
            journal.write(b"end\t" + binascii.hexlify(digest) + b"\n")
        self.board.sync()
        self.state()

    def confirm(self):
        """End the trial: the new release stays. Without the new firmware, see at_boot."""
        slot = self.header[4]
        if slot not in (NONE, self.board.running_slot()):
            self.count_boot()
        if slot != NONE:
            self.board.keep_slot()
        self.end("installed", "")

    def outcome(self):
        """Return (result, version, previous version, reason) of the last update, or None."""
        try:
            with open(self.folder + "/outcome", "r") as record:
                fields = record.read().split("\t")
        except OSError:
            return None
        return tuple(fields) if len(fields) == 4 else None

    def _write_line(self, journal, sha256, fields):
        line = ("\t".join(fields) + "\n").encode()
        sha256.update(line)
        journal.write(line)
