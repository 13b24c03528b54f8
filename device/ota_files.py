"""What recovery and updates do with files; part of recovery, see ota_recovery."""

import os

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

FOLDER = ".ota"
# ENOENT, ENODEV where nothing is mounted, and ENOTDIR below a file.
NOT_THERE = (2, 19, 20)
# The content id of a release that is not whole: no server has it, so each offers a repair.
INCOMPLETE = "0" * 64
NONE = "-"
BOOT_PY = "flash/boot.py"
VERSION_RECORD = "flash/OTA_VERSION.py"
HASH_DIGITS = 24
# Of an entry of the journal.
ENTRY_FIELDS = 5
# The modules that recovery consists of, besides those that are there to find it.
SET = (
    "ota_alarm", "ota_ending", "ota_files", "ota_journal", "ota_placing", "ota_port_esp32",
    "ota_port_pycom", "ota_ports", "ota_replay", "ota_wanted",
)  # fmt: skip
# The library's files besides contents, recovery's copies, journal, outcome and room.
OWN = ("draft", "manifest", "source", "slot", "place")
# What identifies the release that was rolled back.
REFUSED = "refused"
# The room that is set aside for going back.
ROOM = "room"


def exists(path):
    """Return whether there is a file or folder at ``path``; OSError if that can't be read."""
    try:
        os.stat(path)
    except OSError as error:
        if error.args[0] in NOT_THERE:
            return False
        raise
    return True


def first_names(folder, wanted, most):
    """Return some of the names in a folder; an unreadable folder has none.

    Args:
        folder: its path.
        wanted: function of a name that returns whether to include it.
        most: the largest number of names to return.
    """
    found = []
    try:
        # ilistdir if available: a list of all names grows with the update. It must be
        # read to its end, since older LittleFS ports leave the folder open otherwise.
        entries = os.ilistdir(folder) if hasattr(os, "ilistdir") else os.listdir(folder)
        for entry in entries:
            name = entry if isinstance(entry, str) else entry[0]
            if len(found) < most and wanted(name):
                found.append(name)
    except (OSError, ValueError):
        pass  # no such folder, or garbage names on a damaged FAT
    return found


def is_folder(path):
    """Return whether there is a folder at ``path``."""
    return exists(path) and os.stat(path)[0] & 0x4000 != 0


def remove(path):
    """Remove the file at ``path`` if there is one, but no folder, as some ports would."""
    if exists(path) and not is_folder(path):
        os.remove(path)


def make_folders(path, root):
    """Create the parent folders of a file.

    Args:
        path: of the file.
        root: path of the file system's root, which exists.
    """
    at = path.find("/", len(root) + 1)
    while at > 0:
        if not exists(path[:at]):
            os.mkdir(path[:at])
        at = path.find("/", at + 1)


def file_sha256(path, buf):
    """Return the SHA-256 of a file in hex, None if there is none; OSError if it can't be read.

    Args:
        path: of the file.
        buf: bytearray to read through.
    """
    if not exists(path):
        return None
    with open(path, "rb") as source:
        return _pour(source, None, buf)


def sha256_hex(data):
    """Return the SHA-256 of ``data`` in hex."""
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


def copy_file(source_path, target_path, sha256, buf):
    """Copy a file; OSError if it fails or the content has another SHA-256.

    Args:
        source_path, target_path: of the two files; the target is overwritten.
        sha256: expected, in hex.
        buf: bytearray to copy through.
    """
    with open(source_path, "rb") as source:
        with open(target_path, "wb") as target:
            digest = _pour(source, target, buf)
    if digest != sha256:
        raise OSError("{} is damaged".format(source_path))


def _pour(source, target, buf):
    view = memoryview(buf)
    # Pycom allows one hash at a time; one without a digest blocks all others for good.
    sha256 = hashlib.sha256()
    try:
        while True:
            count = source.readinto(buf)
            if not count:
                break
            sha256.update(view[:count])
            if target:
                target.write(view[:count])
    finally:
        digest = sha256.digest()
    return binascii.hexlify(digest).decode()


class Layout:
    """Where the library has its files; ota_journal adds what it does with the journal.

    Args:
        board: a Board, see ota_ports.
        log: called with each message, one line of text.
    """

    def __init__(self, board, log=None):
        self.board = board
        self.log = log or _no_log
        self.folder = board.roots["flash"] + "/" + FOLDER
        self.path = self.folder + "/journal"
        self.roots = board.roots

    def absolute(self, path):
        """Return the path on the device for the path of a release."""
        root, rest = path.split("/", 1)
        return self.roots[root] + "/" + rest

    def stored(self, path, sha256):
        """Return the path of a stored content.

        Args:
            path: of a file in the release; its content is stored on the same file system.
            sha256: of the content, in hex.
        """
        folder = self.roots[path.split("/", 1)[0]]
        return "{}/{}/{}".format(folder, FOLDER, sha256[:HASH_DIGITS])

    def drafted(self):
        """Return the Lines of the draft; see ota_draft."""
        return Lines(self.folder + "/draft", ENTRY_FIELDS + 1)

    def outcome(self):
        """Return (result, version, previous version, reason) of the last update, or None.

        The result is "installed" or "rolled back".
        """
        try:
            with open(self.folder + "/outcome", "r") as record:
                fields = record.read().split("\t")
        except (OSError, ValueError):
            return None
        return tuple(fields) if len(fields) == 4 else None


class Lines:
    """Iterates over the lines of a file that have a given number of tab-separated fields.

    Not a generator: ``with`` closes the file even if the loop raises.

    Args:
        path: of the file.
        count: number of fields; other lines are skipped.
    """

    def __init__(self, path, count):
        self._count = count
        self._file = open(path, "rb")

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            line = self._file.readline()
            # After the journal's end come notes, any of which may be damaged.
            if not line or line.startswith(b"end\t"):
                raise StopIteration
            fields = line.rstrip(b"\n").split(b"\t")
            if len(fields) == self._count:
                return [field.decode() for field in fields]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


def _no_log(message):
    pass
