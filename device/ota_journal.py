"""Last step of an update: write the journal, which commits it."""

import os

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_errors import ManifestError, StorageError
from ota_recovery import ENTRY_FIELDS, FOLDER, NONE, copy_file, exists, file_sha256

BOOT_PY = "flash/boot.py"
BUFFER_BYTES = 512


def write_journal(recovery, header):
    """Write the journal from the draft. From then on the update is committed.

    Args:
        recovery: a Recovery.
        header: fields of the first line: format, version, previous version, boots of the
            trial, slot of the new firmware, slot of the old firmware, and the roots that the
            application has given, each as ``name=path``.

    Raises StorageError if the store is damaged, ManifestError for an unsafe boot.py.
    """
    # Everything that the journal refers to must be on flash first.
    recovery.board.sync()
    _check_store(recovery)
    with open(recovery.journal, "wb") as journal:
        sha256 = hashlib.sha256()
        try:
            _write_line(journal, sha256, header)
            # boot.py last: if FAT loses it, everything that main.py needs is in place.
            for boot_py in (False, True):
                with recovery.drafted() as drafted:
                    for fields in drafted:
                        if (fields[0] == BOOT_PY) == boot_py:
                            _write_line(journal, sha256, fields[:ENTRY_FIELDS])
        finally:
            digest = sha256.digest()
        journal.write(b"end\t" + binascii.hexlify(digest) + b"\n")
    recovery.board.sync()
    if recovery.state() != "installing":
        move_aside(recovery.board.roots["flash"])


def _check_store(recovery):
    """Check once more everything that installing or rolling back will need."""
    buf = bytearray(BUFFER_BYTES)
    with recovery.drafted() as drafted:
        for path, sha256, _, old_sha256, _, _ in drafted:
            recovery.board.feed_watchdog()
            for wanted in (sha256, old_sha256):
                stored = recovery.stored(path, wanted)
                if wanted != NONE and file_sha256(stored, buf) != wanted:
                    move_aside(recovery.board.roots[path.split("/", 1)[0]])
            if path == BOOT_PY and NONE not in (sha256, old_sha256):
                _check_boot_py(recovery.stored(path, old_sha256), recovery.stored(path, sha256))


def move_aside(root):
    """Replace a library folder that FAT has damaged beyond repair by a new one.

    Args:
        root: path of the file system's root.

    Always raises StorageError.
    """
    folder = root + "/" + FOLDER
    number = 1
    while exists("{}.{}".format(folder, number)):
        number += 1
    aside = "{}.{}".format(folder, number)
    os.rename(folder, aside)
    os.mkdir(folder)
    # Without the outcome, a release that was rolled back would be installed again.
    buf = bytearray(BUFFER_BYTES)
    sha256 = file_sha256(aside + "/outcome", buf)
    if sha256:
        copy_file(aside + "/outcome", folder + "/outcome", sha256, buf)
    raise StorageError("the folder {} was damaged and has been replaced".format(folder))


def _write_line(journal, sha256, fields):
    line = ("\t".join(fields) + "\n").encode()
    sha256.update(line)
    journal.write(line)


def _check_boot_py(old, new):
    """Refuse a boot.py that drops the call of ota_boot."""
    if _mentions_ota_boot(old) and not _mentions_ota_boot(new):
        raise ManifestError("has a boot.py that does not call ota_boot")


def _mentions_ota_boot(path):
    with open(path, "rb") as source:
        line = source.readline()
        while line and b"ota_boot" not in line:
            line = source.readline()
    return bool(line)
