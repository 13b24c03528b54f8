"""Last step of an update: write the journal, which commits it."""

import os

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_aside import copies
from ota_errors import ManifestError, StorageError
from ota_files import ENTRY_FIELDS, FOLDER, NONE, copy_file, exists, file_sha256, first_names
from ota_journal import COPY, FORMAT, PLACING, Journal

BOOT_PY = "flash/boot.py"
BUFFER_BYTES = 512


def write_journal(layout, versions, trial_boots, slots, roots):
    """Write the journal from the draft, and return it. From then on the update is committed.

    Args:
        layout: a Layout whose draft has been written.
        versions: (version, previous version).
        trial_boots: number of boots within which the release must be confirmed.
        slots: names of the slots of the (new, old) firmware.
        roots: those that the application has given, each as ``name=path``.

    Raises StorageError if the store is damaged, ManifestError for an unsafe boot.py.
    """
    _copy_recovery(layout)
    # Everything that the journal refers to must be on flash first.
    layout.board.sync()
    _check_store(layout)
    placing = "{}={}".format(PLACING, COPY)
    header = (FORMAT,) + versions + (str(trial_boots),) + slots + (placing,) + roots
    _write(layout, header)
    layout.board.sync()
    journal = Journal(layout.board, layout.log)
    if journal.state() != "installing":
        move_aside(layout.board.roots["flash"])
    return journal


def _copy_recovery(layout):
    """Copy what a boot will recover with, and remove any copies of an abandoned update."""
    while True:
        stale = first_names(layout.folder, lambda name: name.startswith("ota_"), 1)
        if not stale:
            break
        os.remove(layout.folder + "/" + stale[0])
    buf = bytearray(BUFFER_BYTES)
    for path, copy in copies(layout):
        layout.board.feed_watchdog()
        copy_file(path, copy, file_sha256(path, buf), buf)


def _write(layout, header):
    with open(layout.path, "wb") as target:
        sha256 = hashlib.sha256()
        try:
            _write_line(target, sha256, header)
            # boot.py last: if FAT loses it, everything that main.py needs is in place.
            for boot_py in (False, True):
                with layout.drafted() as drafted:
                    for fields in drafted:
                        if (fields[0] == BOOT_PY) == boot_py:
                            _write_line(target, sha256, fields[:ENTRY_FIELDS])
        finally:
            digest = sha256.digest()
        target.write(b"end\t" + binascii.hexlify(digest) + b"\n")


def _check_store(layout):
    """Check once more everything that installing or rolling back will need."""
    buf = bytearray(BUFFER_BYTES)
    with layout.drafted() as drafted:
        for path, sha256, _, old_sha256, _, _ in drafted:
            layout.board.feed_watchdog()
            for wanted in (sha256, old_sha256):
                stored = layout.stored(path, wanted)
                if wanted != NONE and file_sha256(stored, buf) != wanted:
                    move_aside(layout.board.roots[path.split("/", 1)[0]])
            if path == BOOT_PY and NONE not in (sha256, old_sha256):
                _check_boot_py(layout.stored(path, old_sha256), layout.stored(path, sha256))


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


def _write_line(target, sha256, fields):
    line = ("\t".join(fields) + "\n").encode()
    sha256.update(line)
    target.write(line)


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
