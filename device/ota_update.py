"""Prepares an update: everything is fetched and checked before anything is touched."""

import os

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_download import Download, FileSink
from ota_errors import FirmwareError, LinkError, ManifestError, SpaceError
from ota_plan import VERSION_RECORD, Plan
from ota_recovery import NONE, copy_file, exists, file_sha256

SMALLEST_BLOCK_BYTES = 4096
SPARE_BLOCKS = 8
BLOCK_BYTES = 4096


class Update:
    """One update of ``ota``, up to the moment when its journal is written."""

    def __init__(self, ota, transaction):
        self._ota = ota
        self._board = ota.board
        self._transaction = transaction
        self._log = transaction.log
        self._draft = transaction.folder + "/draft"
        self._plan = None
        self._slot = None
        # One buffer for everything. Its size is what a Pycom takes at once, and a block.
        self._buf = bytearray(BLOCK_BYTES)

    def prepare(self, manifest_path, versions):
        """Fetch and check all that the manifest asks for; False if there is nothing to do.

        versions: (files, firmware) as the device has them, None where unknown.
        """
        self._transaction.begin()
        if not self._read_manifest(manifest_path):
            return False
        if versions[0] and self._plan.previous_version not in (None, versions[0]):
            raise ManifestError("the manifest is for {}".format(self._plan.previous_version))
        firmware = self._accept_firmware()
        record = self._version_record(versions, firmware)
        self._forget_other_sources()
        sizes = self._write_draft(record)
        if not sizes[0] and firmware is None:
            return False
        # The plan is checked: here is where it is asked who made it, before it is followed.
        self._check_space()
        self._keep_old()
        self._store_record(record)
        total_bytes = sizes[1] + (firmware.size_bytes if firmware else 0)
        download = Download(self._ota, self._buf, total_bytes)
        self._fetch_files(download)
        if firmware:
            self._fetch_firmware(download, firmware)
        return True

    def commit(self):
        """Write the journal."""
        slots = (NONE, NONE)
        if self._slot:
            slots = (self._slot.name, self._board.running_slot())
        header = (
            "ota 1",
            self._plan.version,
            self._plan.previous_version or "",
            str(self._ota.trial_boots),
        ) + slots
        self._transaction.commit(header, lambda: (fields[:5] for fields in self._drafted()))

    def _read_manifest(self, path):
        failures = 0
        while True:
            self._plan = Plan(self._transaction.folder + "/manifest", self._board.roots)
            try:
                stream = self._ota.open(path, 0)
                try:
                    return self._plan.read(stream, self._buf, self._ota.manifest_limit_bytes)
                finally:
                    stream.close()
            except LinkError as error:
                failures += 1
                self._ota.wait_to_retry(failures, error)

    def _accept_firmware(self):
        firmware = self._plan.firmware
        if firmware is None:
            return None
        if not self._board.takes_firmware or firmware.size_bytes > self._board.slot_bytes():
            reason = "this board can't take the firmware {}, {} bytes".format(
                firmware.version, firmware.size_bytes
            )
            if not self._ota.skip_firmware:
                raise FirmwareError(reason)
            self._log(reason)
            return None
        return firmware

    def _version_record(self, versions, firmware):
        files_version, firmware_version = versions
        plan = self._plan
        # A manifest that brings only firmware has the firmware's version, not the files'.
        only_firmware = not plan.brings_files() and plan.firmware is not None
        if not (only_firmware and plan.version == plan.firmware.version):
            files_version = plan.version
        if firmware:
            firmware_version = firmware.version
        lines = []
        if files_version:
            lines.append("VERSION = '{}'\n".format(files_version))
        if firmware_version:
            lines.append("FIRMWARE_VERSION = '{}'\n".format(firmware_version))
        return "".join(lines).encode()

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

    def _write_draft(self, record):
        """Write what has to change; return how many entries, and the bytes to fetch."""
        count = fetch_bytes = 0
        with open(self._draft, "wb") as draft:
            for path, sha256, size, url_path in self._with_record(record):
                old_sha256 = file_sha256(self._transaction.absolute(path), self._buf) or NONE
                if old_sha256 == sha256:
                    continue
                old_size = "0"
                if old_sha256 != NONE:
                    old_size = str(os.stat(self._transaction.absolute(path))[6])
                fields = (path, sha256, size, old_sha256, old_size, url_path)
                draft.write(("\t".join(fields) + "\n").encode())
                count += 1
                if url_path != NONE:
                    fetch_bytes += int(size)
        return count, fetch_bytes

    def _with_record(self, record):
        for fields in self._plan.entries():
            if fields[0] == VERSION_RECORD:
                self._log("the release's own version record is left out")
            else:
                yield fields
        sha256 = binascii.hexlify(_digest(record)).decode()
        yield (VERSION_RECORD, sha256, str(len(record)), NONE)

    def _drafted(self):
        with open(self._draft, "rb") as draft:
            while True:
                line = draft.readline()
                if not line:
                    return
                yield line.decode().rstrip("\n").split("\t")

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
        for path, sha256, size, old_sha256, old_size, _ in self._drafted():
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
        # The journal, its folders' entries, and what the file system needs for itself.
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

    def _keep_old(self):
        """Copy what the update replaces or deletes; a moved file need not be fetched then."""
        for path, _, _, old_sha256, _, _ in self._drafted():
            stored = self._transaction.stored(path, old_sha256)
            if old_sha256 != NONE and file_sha256(stored, self._buf) != old_sha256:
                copy_file(self._transaction.absolute(path), stored, old_sha256, self._buf)

    def _store_record(self, record):
        stored = self._transaction.stored(
            VERSION_RECORD, binascii.hexlify(_digest(record)).decode()
        )
        with open(stored, "wb") as copy:
            copy.write(record)

    def _fetch_files(self, download):
        for path, sha256, size, _, _, url_path in self._drafted():
            if url_path != NONE:
                sink = FileSink(self._transaction.stored(path, sha256))
                download.fetch(url_path, int(size), sha256, sink, path)

    def _fetch_firmware(self, download, firmware):
        self._slot = self._board.open_slot(self._transaction.folder + "/slot", firmware)
        download.fetch(
            firmware.path,
            firmware.size_bytes,
            firmware.sha256,
            self._slot,
            "firmware " + firmware.version,
        )
        self._slot.check()


def _digest(data):
    return hashlib.sha256(data).digest()
