"""The last part of an update: the journal, which makes it take place."""

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_errors import ManifestError
from ota_recovery import ENTRY_FIELDS, NONE, Lines

BOOT_PY = "flash/boot.py"


def write_journal(recovery, header):
    """Write the journal, out of the draft. From here on the update takes place."""
    # What the journal speaks of has to be there before it is.
    recovery.board.sync()
    with open(recovery.journal, "wb") as journal:
        sha256 = hashlib.sha256()
        try:
            _write_line(journal, sha256, header)
            # boot.py last: should FAT lose it, all that main.py needs is in place.
            for boot_py in (False, True):
                with Lines(recovery.folder + "/draft", ENTRY_FIELDS + 1) as drafted:
                    for fields in drafted:
                        if (fields[0] == BOOT_PY) == boot_py:
                            _check_boot_py(recovery, fields)
                            _write_line(journal, sha256, fields[:ENTRY_FIELDS])
        finally:
            digest = sha256.digest()
        journal.write(b"end\t" + binascii.hexlify(digest) + b"\n")
    recovery.board.sync()


def _write_line(journal, sha256, fields):
    line = ("\t".join(fields) + "\n").encode()
    sha256.update(line)
    journal.write(line)


def _check_boot_py(recovery, fields):
    """Refuse a boot.py without ota_boot where the one that is here has it."""
    if fields[0] == BOOT_PY and fields[1] != NONE and fields[3] != NONE:
        old, new = recovery.stored(BOOT_PY, fields[3]), recovery.stored(BOOT_PY, fields[1])
        if _mentions_ota_boot(old) and not _mentions_ota_boot(new):
            raise ManifestError("brings a boot.py that does not call ota_boot")


def _mentions_ota_boot(path):
    with open(path, "rb") as source:
        line = source.readline()
        while line and b"ota_boot" not in line:
            line = source.readline()
    return bool(line)
