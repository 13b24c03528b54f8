"""The second half of an update: everything is stored and checked, then the journal written."""

from ota_download import Download
from ota_recovery import NONE, VERSION_RECORD, copy_file, file_sha256
from ota_sink import FileSink
from ota_transaction import sha256_hex

# What a Pycom takes at once, and a block of an ESP32's slot.
BUFFER_BYTES = 4096


class Stage:
    """Does what a draft says; ``work`` is what ota_draft returned."""

    def __init__(self, ota, transaction, work):
        version, previous_version, self._record, self._firmware, fetch_bytes = work
        self._header = ("ota 1", version, previous_version, str(ota.trial_boots))
        self._board = ota.board
        self._transaction = transaction
        self._buf = bytearray(BUFFER_BYTES)
        self._download = Download(ota, self._buf, fetch_bytes)

    def prepare(self):
        """Store what the update needs, and write the journal."""
        self._keep_old()
        self._store_record()
        self._fetch_files()
        slots = self._fetch_firmware() if self._firmware else (NONE, NONE)
        self._transaction.commit(self._header + slots)

    def _keep_old(self):
        """Copy what the update replaces or deletes; a moved file need not be fetched then."""
        with self._transaction.drafted() as entries:
            for path, _, _, old_sha256, _, _ in entries:
                stored = self._transaction.stored(path, old_sha256)
                if old_sha256 != NONE and file_sha256(stored, self._buf) != old_sha256:
                    copy_file(self._transaction.absolute(path), stored, old_sha256, self._buf)

    def _store_record(self):
        sha256 = sha256_hex(self._record)
        with open(self._transaction.stored(VERSION_RECORD, sha256), "wb") as copy:
            copy.write(self._record)

    def _fetch_files(self):
        with self._transaction.drafted() as entries:
            for path, sha256, size, _, _, url_path in entries:
                if url_path != NONE:
                    sink = FileSink(self._transaction.stored(path, sha256))
                    self._download.fetch(url_path, int(size), sha256, sink, path)

    def _fetch_firmware(self):
        url_path, size, sha256, version = self._firmware
        slot = self._board.open_slot(self._transaction.folder + "/slot", sha256)
        self._download.fetch(url_path, size, sha256, slot, "firmware " + version)
        slot.check()
        return (slot.name, self._board.running_slot())
