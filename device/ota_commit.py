"""Last step of an update: write the journal, which commits it."""

import os
import sys

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_aside import copies
from ota_damage import move_aside
from ota_errors import ManifestError, StorageError
from ota_files import (
    BOOT_PY,
    ENTRY_FIELDS,
    FOLDER,
    NONE,
    copy_file,
    exists,
    file_sha256,
    first_names,
    remove,
)
from ota_journal import FORMAT, IDENTITY, MOVE, Journal
from ota_moved import is_moved
from ota_starts import starts_recovery
from ota_wanted import is_copied, renames, wanted

BUFFER_BYTES = 512


def write_journal(layout, versions, identity, trial_boots, slots, roots):
    """Write the journal from the draft, and return it. From then on the update is committed.

    Args:
        layout: a Layout whose draft has been written.
        versions: (version, previous version).
        identity: what the release is recognized by if it is rolled back.
        trial_boots: number of boots within which the release must be confirmed.
        slots: names of the slots of the (new, old) firmware.
        roots: those that the application has given, each as ``name=path``.

    Raises StorageError if the store is damaged, ManifestError for an unsafe boot.py.
    """
    _copy_recovery(layout)
    # Everything that the journal refers to must be on flash first.
    layout.board.sync()
    _check_store(layout)
    moving = tuple(
        "{}={}".format(MOVE, root) for root in sorted(layout.roots) if _moves(layout, root)
    )
    options = ("{}={}".format(IDENTITY, identity),) + moving + roots
    _write(layout, (FORMAT,) + versions + (str(trial_boots),) + slots + options)
    layout.board.sync()
    journal = Journal(layout.board, layout.log)
    if journal.state() != "installing":
        move_aside(layout.board.roots["flash"])
    return journal


def _copy_recovery(layout):
    """Copy what a boot will recover with, and remove any copies of an abandoned update."""
    copied = first_names(layout.folder, _is_copy, 1)
    # Not all could be restored after the last update: its copies may be the only whole ones.
    goes_on = exists(layout.path)
    while copied and not goes_on:
        os.remove(layout.folder + "/" + copied[0])
        copied = first_names(layout.folder, _is_copy, 1)
    buf = bytearray(BUFFER_BYTES)
    for path, copy in copies(layout):
        layout.board.feed_watchdog()
        if goes_on and (exists(copy) or (copied and copy.startswith(layout.folder))):
            continue
        copy_file(path, copy, file_sha256(path, buf), buf)


def _is_copy(name):
    return name.startswith("ota_")


def _moves(layout, root):
    try:
        return exists(layout.roots[root] + "/" + FOLDER) and renames(layout.roots, root)
    except OSError:
        return False  # a dead card, which this update has nothing for


def _write(layout, header):
    with open(layout.path, "wb") as target:
        sha256 = hashlib.sha256()
        try:
            _write_line(target, sha256, header)
            for place in range(3):
                with layout.drafted() as drafted:
                    for fields in drafted:
                        if _place(fields[0]) == place:
                            _write_line(target, sha256, fields[:ENTRY_FIELDS])
        finally:
            digest = sha256.digest()
        target.write(b"end\t" + binascii.hexlify(digest) + b"\n")


def _place(path):
    """Return where an entry comes: boot.py last, and before it what starts recovery.

    If FAT loses boot.py, everything that main.py needs is in place. And where the update
    brings the first edition, that doesn't find the old contents by itself.
    """
    return 2 if path == BOOT_PY else 1 if is_copied(path) else 0


def _check_store(layout):
    """Check once more everything that installing or rolling back will need."""
    buf = bytearray(BUFFER_BYTES)
    with layout.drafted() as drafted:
        seen = wanted(drafted, back=False)
    with layout.drafted() as drafted:
        for path, sha256, _, old_sha256, _, _ in drafted:
            layout.board.feed_watchdog()
            root = path.split("/", 1)[0]
            if not is_moved(layout, path, sha256, seen):
                _check_stored(layout, path, sha256, buf)
            if is_copied(path) or not renames(layout.roots, root):
                _check_stored(layout, path, old_sha256, buf)
            elif old_sha256 != NONE:
                _check_in_place(layout, path, old_sha256, buf)
            if path == BOOT_PY and sha256 != NONE:
                _check_boot_py(layout, sha256, old_sha256)


def _check_boot_py(layout, sha256, old_sha256):
    """Refuse a boot.py that does not start recovery, unless the firmware itself does."""
    if starts_recovery(layout.stored(BOOT_PY, sha256)):
        return
    did = old_sha256 != NONE and starts_recovery(layout.stored(BOOT_PY, old_sha256))
    if did or "ota_recovery" not in sys.modules:
        raise ManifestError("has a boot.py that does not call ota_boot")


def _check_stored(layout, path, sha256, buf):
    if sha256 != NONE and file_sha256(layout.stored(path, sha256), buf) != sha256:
        move_aside(layout.board.roots[path.split("/", 1)[0]])


def _check_in_place(layout, path, sha256, buf):
    """Check what will be renamed into the store."""
    if file_sha256(layout.absolute(path), buf) != sha256:
        raise StorageError("{} has changed during the update".format(path))
    stored = layout.stored(path, sha256)
    if exists(stored) and file_sha256(stored, buf) != sha256:
        remove(stored)  # a part of an earlier attempt


def _write_line(target, sha256, fields):
    line = ("\t".join(fields) + "\n").encode()
    sha256.update(line)
    target.write(line)
