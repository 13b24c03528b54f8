"""First step of an update: read the manifest as a stream into lists on flash.

This module checks its syntax and types; ota_draft checks what it asks for. Only the
library's own folder is written to.
"""

import os

from ota_errors import LinkError, ManifestError
from ota_files import FOLDER, NONE, exists, remove
from ota_json import JSONReader

BUFFER_BYTES = 512
EIO = 5
FIELDS = ("dst_path", "sha256", "size", "URL", "version")
LISTS = ("delete", "new", "update")
UNQUOTED = "-._~"


def read_manifest(ota, journal):
    """Request the manifest and write its lists to the file ``.ota/manifest``.

    That file has one tab-separated line per entry: path, SHA-256, size in bytes, URL. NONE
    replaces the SHA-256 and URL of a deletion.

    Args:
        ota: the OTA that is updating.
        journal: its Journal.

    Returns (version, previous version or None, firmware, spans), or None if there is nothing
    to do. firmware is None or [SHA-256, size, URL, version], all strings; spans are the
    (start, end) of each list in the file, as offsets in bytes. Raises OTAError.
    """
    _begin(journal)
    path = _path_to_ask(ota)
    buf = bytearray(BUFFER_BYTES)
    failures = 0
    while True:
        try:
            stream = ota.open(path, 0)
            try:
                reader = JSONReader(stream, buf, ota.manifest_limit_bytes)
                with open(journal.folder + "/manifest", "wb") as lists:
                    return _read(reader, lists)
            finally:
                stream.close()
        except LinkError as error:
            failures += 1
            ota.wait_to_retry(failures, error)


def _begin(journal):
    """Create the folders and remove a stale journal; stored contents stay. Only when idle."""
    for root in journal.board.roots.values():
        if (root == "" or exists(root)) and not exists(root + "/" + FOLDER):
            os.mkdir(root + "/" + FOLDER)
    remove(journal.path)
    if not exists(journal.folder + "/outcome"):
        # Created now: a new name after the journal is written could be lost by FAT.
        open(journal.folder + "/outcome", "w").close()
    try:
        open(journal.folder + "/manifest", "wb").close()
    except OSError as error:
        if error.args[0] != EIO:
            raise
        # FAT has left the file with a broken cluster chain; it can't be opened any more.
        from ota_commit import move_aside

        move_aside(journal.board.roots["flash"])


def _path_to_ask(ota):
    files_version, firmware_version = ota.versions()
    fields = []
    for name, value in (
        ("current_ver", files_version),
        ("firmware_ver", firmware_version),
        ("device", ota.device),
    ):
        if value:
            fields.append("{}={}".format(name, _quoted(value)))
    folder = "/" + ota.product.strip("/") if ota.product else ""
    return folder + "/manifest.json" + ("?" + "&".join(fields) if fields else "")


def _quoted(text):
    quoted = ""
    for byte in text.encode():
        char = chr(byte)
        safe = byte < 128 and (char.isalpha() or char.isdigit() or char in UNQUOTED)
        quoted += char if safe else "%{:02X}".format(byte)
    return quoted


def _read(reader, lists):
    if reader.peek() != 0x7B:
        if reader.scalar() is not None:
            raise ManifestError("is neither an object nor null")
        reader.finish()
        return None
    found = {}
    for key in reader.members():
        if key in found:
            raise ManifestError("has {} twice".format(key))
        if key in LISTS:
            start = lists.tell()
            _read_list(key, reader, lists)
            found[key] = (start, lists.tell())
        elif key == "version":
            found[key] = _text(reader.scalar(), key)
        elif key == "previous_version":
            previous = reader.scalar()
            found[key] = None if previous is None else _text(previous, key)
        elif key == "firmware":
            found[key] = _read_record(reader, FIELDS[1:])
        else:
            reader.skip()
    reader.finish()
    if "version" not in found:
        raise ManifestError("has no version")
    spans = [found[key] for key in LISTS if key in found]
    return found["version"], found.get("previous_version"), found.get("firmware"), spans


def _read_list(key, reader, lists):
    for _ in reader.items():
        if key == "delete":
            fields = (_text(reader.scalar(), key), NONE, "0", NONE)
        else:
            fields = _read_record(reader, FIELDS[:4])
        lists.write(("\t".join(fields) + "\n").encode())


def _read_record(reader, names):
    """Read an object and return the members ``names``, all as strings."""
    record = {}
    for key in reader.members():
        if key == "size":
            value = reader.scalar()
            # Not isinstance: True is an instance of int.
            if type(value) is not int:
                raise ManifestError("has an invalid size")
            record[key] = str(value)
        elif key in names:
            record[key] = _text(reader.scalar(), key)
        else:
            reader.skip()
    for name in names:
        if record.get(name, NONE) == NONE:
            raise ManifestError("has an entry without {}".format(name))
    return [record[name] for name in names]


def _text(value, name):
    """Return a string without control characters, which fits in a field of a line."""
    if type(value) is not str or any(char < " " or char == "\x7f" for char in value):
        raise ManifestError("has an invalid {}".format(name))
    return value
