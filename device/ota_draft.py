"""Second step of an update: check the manifest's entries and write the changes to a draft.

The draft is a file with one tab-separated line per change: path, new SHA-256, new size,
old SHA-256, old size, path on the server. Sizes are in bytes; NONE marks an absent value.
Only the library's own folder is written to.

Each list of the manifest must be sorted by path, as the server sends it; others are
refused. Sorting makes it possible to find duplicates without holding all paths in memory.
"""

import os
import sys

from ota_errors import ConfigError, FirmwareError, ManifestError, SpaceError, is_sha256
from ota_files import (
    BOOT_PY,
    FOLDER,
    NONE,
    REFUSED,
    VERSION_RECORD,
    exists,
    file_sha256,
    first_names,
    is_folder,
    sha256_hex,
)
from ota_rules import (
    check_removable,
    checked_content,
    checked_path,
    checked_version,
    is_compiled_recovery,
    is_library,
)
from ota_starts import starts_recovery

BUFFER_BYTES = 512
MUST_BE_SOURCE = "recovery must be source, which any firmware loads"


class Draft:
    """The draft of one update.

    Args:
        ota: the OTA that is updating.
        layout: its Layout.
        plan: the result of ota_manifest.read_manifest.
    """

    def __init__(self, ota, layout, plan):
        self._board = ota.board
        self._skip_firmware = ota.skip_firmware
        self._layout = layout
        self._path = layout.folder + "/draft"
        self._version, self._previous_version, self._release, self._firmware, self._spans = plan
        self._buf = bytearray(BUFFER_BYTES)
        self._brings_boot_py = self._brings_library = False
        self._removed_library = None

    def make(self, installed, again):
        """Write the draft.

        Args:
            installed: the version record, see OTA.record.
            again: whether to accept a release that this device has already rolled back.

        Returns (version, previous version, version record, firmware, bytes to fetch,
        identity), where firmware is None or (path on the server, size in bytes, SHA-256,
        version); or None if there is nothing to do. Raises ConfigError, ManifestError,
        FirmwareError or SpaceError.
        """
        checked_version(self._version)
        if self._release and not is_sha256(self._release):
            raise ManifestError("has an invalid release")
        own = installed.get("VERSION")
        if own and self._previous_version not in (None, own):
            raise ManifestError("updates {}, not this version".format(self._previous_version))
        identity = self._identity()
        if not again and self._was_rolled_back(identity):
            return None
        firmware = self._accept_firmware()
        record = self._version_record(installed, firmware)
        count, fetch_bytes = self._write(record)
        self._check_recovers()
        if not count and firmware is None:
            return None
        if firmware:
            fetch_bytes += firmware[1]
        # A tuple: an object's class would keep this module in memory.
        previous = self._previous_version or ""
        return self._version, previous, record, firmware, fetch_bytes, identity

    def _identity(self):
        """Return what tells this release from a repaired one of the same version."""
        firmware_sha256 = self._firmware[0] if self._firmware else ""
        return sha256_hex(
            "\t".join((self._version, self._release or "", firmware_sha256)).encode()
        )

    def _was_rolled_back(self, identity):
        outcome = self._layout.outcome()
        if outcome is None or outcome[:2] != ("rolled back", self._version):
            return False
        with open(self._layout.folder + "/" + REFUSED, "r") as refused:
            # The first edition of the library knew the version only.
            if refused.read() not in ("", identity):
                return False
        self._layout.log("{} is not tried again: {}".format(self._version, outcome[3]))
        return True

    def _accept_firmware(self):
        if self._firmware is None:
            return None
        url_path, sha256, size = checked_content(*self._firmware[:3])
        firmware = (url_path, size, sha256, checked_version(self._firmware[3]))
        if self._board.takes_firmware and 0 < size <= self._board.slot_bytes():
            self._check_recovery_loads()
            return firmware
        reason = "this board can't take the firmware {}, {} bytes".format(firmware[3], size)
        if not self._skip_firmware:
            raise FirmwareError(reason)
        self._layout.log(reason)
        return None

    def _check_recovery_loads(self):
        compiled = first_names(self._layout.absolute("flash/lib"), is_compiled_recovery, 1)
        if compiled:
            raise FirmwareError("there is {} in flash/lib: {}".format(compiled[0], MUST_BE_SOURCE))

    def _version_record(self, installed, firmware):
        found = dict(installed)
        if self._board.takes_firmware and not found.get("FIRMWARE_VERSION"):
            # What the server has assumed, so that firmware which comes later is offered.
            found["FIRMWARE_VERSION"] = found.get("VERSION")
        brings_files = any(end > start for start, end in self._spans)
        # The version of a manifest with firmware only is the firmware's, not the files'.
        if brings_files or self._firmware is None or self._version != self._firmware[3]:
            found["VERSION"] = self._version
            found["RELEASE"] = self._release
        if firmware:
            found["FIRMWARE_VERSION"] = firmware[3]
        lines = ""
        for name in ("VERSION", "FIRMWARE_VERSION", "RELEASE"):
            if found.get(name):
                lines += "{} = '{}'\n".format(name, found[name])
        return lines.encode()

    def _write(self, record):
        """Write all changes; return the number of entries and of bytes to fetch."""
        count = fetch_bytes = 0
        lists = []
        outer = []
        try:
            for span in self._spans:
                lists.append(_List(self._layout.folder + "/manifest", span))
                lists[-1].advance()
            with open(self._path, "wb") as draft:
                fields = _next_entry(lists, "")
                while fields:
                    self._board.feed_watchdog()
                    path, url_path, sha256, size = self._checked(*fields)
                    _check_outer(outer, path)
                    if path == VERSION_RECORD:
                        self._layout.log("the release's own version record is skipped")
                    elif self._write_one(draft, path, sha256, str(size), url_path):
                        count += 1
                        fetch_bytes += size
                    fields = _next_entry(lists, fields[0])
                sha256 = sha256_hex(record)
                if self._write_one(draft, VERSION_RECORD, sha256, str(len(record)), NONE):
                    count += 1
        finally:
            for one in lists:
                one.close()
        return count, fetch_bytes

    def _checked(self, path, sha256, size, url):
        path = checked_path(path, self._board.roots)
        if sha256 == NONE:
            if check_removable(path):
                self._removed_library = path
            return path, NONE, NONE, 0
        if self._firmware and is_compiled_recovery(path):
            raise ManifestError("has firmware, and {}: {}".format(path, MUST_BE_SOURCE))
        self._brings_boot_py = self._brings_boot_py or path == BOOT_PY
        self._brings_library = self._brings_library or is_library(path)
        return (path,) + checked_content(sha256, size, url)

    def _check_recovers(self):
        """Refuse what would leave the device without updates, or an update without recovery."""
        if self._removed_library and not self._brings_library:
            raise ManifestError(
                "deletes {}, which updates need, and brings no other OTA.py".format(
                    self._removed_library
                )
            )
        boot_py = self._layout.absolute(BOOT_PY)
        # Whatever has loaded it in this boot may do so in the next one.
        starts = "ota_recovery" in sys.modules or self._brings_boot_py
        if not starts and not (exists(boot_py) and starts_recovery(boot_py)):
            raise ConfigError(
                "boot.py does not call ota_boot, so nothing would complete or undo an update: put "
                "its two lines there"
            )

    def _write_one(self, draft, path, sha256, size, url_path):
        """Write an entry unless the file is up to date; return whether it was written."""
        self._check_place(path)
        target = self._layout.absolute(path)
        old_sha256 = self._hash(target) if exists(target) else NONE
        if old_sha256 == sha256:
            return False
        old_size = "0" if old_sha256 == NONE else str(os.stat(target)[6])
        draft.write(
            ("\t".join((path, sha256, size, old_sha256, old_size, url_path)) + "\n").encode()
        )
        return True

    def _hash(self, path):
        """Return the SHA-256 of an existing file."""
        sha256 = file_sha256(path, self._buf)
        if sha256 is None:
            raise OSError("can't read {}".format(path))
        return sha256

    def _check_place(self, path):
        """Refuse a file in place of a folder, the reverse, and on FAT names in another case."""
        root, rest = path.split("/", 1)
        folder = self._board.roots[root]
        if folder and not exists(folder):
            raise SpaceError("there is no file system at {}".format(folder))
        # FAT finds names in any case.
        folded = exists(folder + "/" + FOLDER.upper())
        at = 0
        while at >= 0:
            at = rest.find("/", at + 1)
            here = folder + "/" + (rest if at < 0 else rest[:at])
            if not exists(here):
                return
            if is_folder(here) == (at < 0):
                raise ManifestError("has {}, where a file and a folder conflict".format(path))
            if folded and not _is_listed(here):
                raise ManifestError("has {}, whose case differs on the device".format(path))


def _is_listed(path):
    """Return whether the folder lists this name in exactly this case."""
    at = path.rfind("/")
    return len(first_names(path[:at] or "/", lambda name: name == path[at + 1 :], 1)) > 0


class _List:
    """One list of the manifest, read an entry at a time.

    Args:
        path: of the file with the lists.
        span: (start, end) of this one, as offsets in bytes.
    """

    def __init__(self, path, span):
        self._file = open(path, "rb")
        self._file.seek(span[0])
        self._left = span[1] - span[0]
        self.fields = None

    def advance(self):
        """Read the next entry into ``fields``, None at the end; ManifestError if unsorted."""
        last, self.fields = self.fields, None
        if self._left > 0:
            line = self._file.readline()
            self._left -= len(line)
            self.fields = line.decode().rstrip("\n").split("\t")
            if self.fields[0].startswith("/") and not self.fields[0].startswith("//"):
                # Strip the slash for old clients first: both forms name the same path.
                self.fields[0] = self.fields[0][1:]
            if last and self.fields[0] <= last[0]:
                raise ManifestError("lists {} out of order".format(self.fields[0]))

    def close(self):
        """Close the file."""
        self._file.close()


def _check_outer(outer, path):
    """Refuse a path below a file of the same manifest.

    ``outer`` is a stack of earlier paths that are prefixes of one another.
    """
    while outer and not path.startswith(outer[-1]):
        outer.pop()
    if any(path.startswith(one + "/") for one in outer):
        raise ManifestError("has {} below a file".format(path))
    outer.append(path)


def _next_entry(lists, last):
    """Merge the lists: return the next entry by path, None at the end."""
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
