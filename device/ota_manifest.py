"""First step of an update: read the manifest as a stream into lists on flash.

This module checks its syntax and types; ota_draft checks what it asks for. Only the
library's own folder is written to.
"""

from ota_errors import LinkError, ManifestError
from ota_files import NONE
from ota_json import JSONReader

BUFFER_BYTES = 512
FIELDS = ("dst_path", "sha256", "size", "URL", "version")
LISTS = ("delete", "new", "update")


def read_manifest(ota, layout, unload, repair):
    """Request the manifest and write its lists to the file ``.ota/manifest``.

    That file has one tab-separated line per entry: path, SHA-256, size in bytes, URL. NONE
    replaces the SHA-256 and URL of a deletion.

    Args:
        ota: the OTA that is updating.
        layout: its Layout.
        unload: function that unloads modules, named without "ota_".
        repair: see OTA.update.

    Returns (version, previous version or None, content id of the release or None, firmware,
    spans), or None if there is nothing to do. firmware is None or [SHA-256, size, URL,
    version], all strings; spans are the (start, end) of each list in the file, as offsets in
    bytes. Raises OTAError.
    """
    path = _question(ota, layout, repair)
    unload("question")
    buf = bytearray(BUFFER_BYTES)
    failures = 0
    while True:
        try:
            stream = ota.open(path, 0)
            try:
                reader = JSONReader(stream, buf, ota.manifest_limit_bytes)
                with open(layout.folder + "/manifest", "wb") as lists:
                    return _read(reader, lists)
            finally:
                stream.close()
        except LinkError as error:
            failures = ota.wait_to_retry(failures + 1, error)


def _question(ota, layout, repair):
    # Of its own: a stale pointer to a function on the stack would keep its module alive.
    from ota_question import begin

    return begin(ota, layout, repair)


def _read(reader, lists):
    first = reader.peek()
    if first == 0x3C:  # "<"
        raise LinkError("this is no manifest but a web page, perhaps of a captive portal")
    if first == 0x7B:
        return _read_members(reader, lists)
    if reader.scalar() is not None:
        raise ManifestError("is neither an object nor null")
    reader.finish()
    return None


def _read_members(reader, lists):
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
        elif key in ("previous_version", "release"):
            value = reader.scalar()
            found[key] = None if value is None else _text(value, key)
        elif key == "firmware":
            found[key] = _read_record(reader, FIELDS[1:])
        else:
            reader.skip()
    reader.finish()
    if "version" not in found:
        raise ManifestError("has no version")
    spans = [found[key] for key in LISTS if key in found]
    return (
        found["version"],
        found.get("previous_version"),
        found.get("release"),
        found.get("firmware"),
        spans,
    )


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
