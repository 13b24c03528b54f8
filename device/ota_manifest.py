"""The first part of an update: the manifest, read as a stream into lists on flash.

It is checked on the way. The lists ``delete``, ``new`` and ``update`` each come sorted by
path, as the server sends them; one out of order is refused: order is what lets
duplicates be found without holding the paths in memory.
"""

from ota_errors import LinkError, ManifestError
from ota_json import JSONReader
from ota_recovery import FOLDER, NONE

BUFFER_BYTES = 512
LONGEST_PATH = 200
LONGEST_VERSION = 64
FIELD_KINDS = {"URL": str, "dst_path": str, "sha256": str, "size": int}
LISTS = ("delete", "new", "update")
UNQUOTED = "-._~"


def read_manifest(ota, transaction):
    """Ask for the manifest and read it; None if it says that there is nothing to do.

    Returns (version, previous version or None, firmware, spans). firmware: (path on the
    server, size in bytes, SHA-256, version), or None. spans: where each list begins and ends
    in ``.ota/manifest``, which has a line (path, SHA-256 or NONE, size, path on the server)
    for each of its entries.
    """
    path = _path_to_ask(ota)
    buf = bytearray(BUFFER_BYTES)
    failures = 0
    while True:
        try:
            stream = ota.open(path, 0)
            try:
                reader = JSONReader(stream, buf, ota.manifest_limit_bytes)
                with open(transaction.folder + "/manifest", "wb") as lists:
                    return _read(reader, lists, ota.board.roots)
            finally:
                stream.close()
        except LinkError as error:
            failures += 1
            ota.wait_to_retry(failures, error)


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


def _read(reader, lists, roots):
    if reader.peek() != 0x7B:
        if reader.scalar() is not None:
            raise ManifestError("is neither an object nor null")
        reader.finish()
        return None
    found = {}
    for key in reader.members():
        if key in found:
            raise ManifestError("says {} twice".format(key))
        if key in LISTS:
            start = lists.tell()
            _read_list(key, reader, lists, roots)
            found[key] = (start, lists.tell())
        elif key == "version":
            found[key] = checked_version(reader.scalar())
        elif key == "previous_version":
            previous = reader.scalar()
            found[key] = None if previous is None else checked_version(previous)
        elif key == "firmware":
            record = _read_record(reader)
            url_path, sha256, size = checked_content(record)
            found[key] = (url_path, size, sha256, checked_version(record.get("version")))
        else:
            reader.skip()
    reader.finish()
    if "version" not in found:
        raise ManifestError("names no version")
    spans = [found[key] for key in LISTS if key in found]
    return found["version"], found.get("previous_version"), found.get("firmware"), spans


def _read_list(key, reader, lists, roots):
    last = ""
    for _ in reader.items():
        if key == "delete":
            fields = (checked_path(reader.scalar(), roots), NONE, "0", NONE)
            check_removable(fields[0])
        else:
            record = _read_record(reader)
            url_path, sha256, size = checked_content(record)
            fields = (checked_path(record.get("dst_path"), roots), sha256, str(size), url_path)
        if fields[0] <= last:
            raise ManifestError("lists {} out of order in {}".format(fields[0], key))
        last = fields[0]
        lists.write(("\t".join(fields) + "\n").encode())


def _read_record(reader):
    """Read an object's known members; the kind of each is checked."""
    record = {}
    for key in reader.members():
        if key == "version" or key in FIELD_KINDS:
            value = reader.scalar()
            # type(), since True is an int to isinstance.
            if type(value) is not FIELD_KINDS.get(key, str):
                raise ManifestError("has a {} of the wrong kind".format(key))
            record[key] = value
        else:
            reader.skip()
    return record


def checked_content(record):
    """Return (path on the server, SHA-256, size) of a file or firmware."""
    sha256 = record.get("sha256", "")
    size = record.get("size", -1)
    if len(sha256) != 64 or sha256.strip("0123456789abcdef"):
        raise ManifestError("has an entry without a proper sha256")
    if size < 0:
        raise ManifestError("has an entry without a proper size")
    return checked_url(record.get("URL", "")), sha256, size


def checked_url(url):
    """Return the path of a URL; the same server is asked for it, whatever host it names."""
    scheme = url.find("://")
    path = url[url.find("/", scheme + 3) :] if scheme > 0 else url
    if not path.startswith("/") or any(not "!" <= char <= "~" for char in path):
        raise ManifestError("has a URL that is none: {}".format(url[:80]))
    return path


def checked_version(version):
    """Return a version that may stand in a Python string and in a request."""
    if type(version) is not str or not 0 < len(version) <= LONGEST_VERSION:
        raise ManifestError("has a version that is none")
    if any(char < " " or char in "'\"\\\x7f" for char in version):
        raise ManifestError("has a version with forbidden characters")
    return version


def checked_path(path, roots):
    """Return a release's path without the leading slash that old clients get."""
    if type(path) is not str:
        raise ManifestError("has a path that is no string")
    if path.startswith("/"):
        path = path[1:]
    parts = path.split("/")
    if len(parts) < 2 or parts[0] not in roots:
        raise ManifestError("has a path outside the roots: {}".format(path[:80]))
    if any(part in ("", ".", "..") for part in parts) or parts[1].lower() == FOLDER:
        raise ManifestError("has a forbidden path: {}".format(path[:80]))
    # What FAT takes: a name that fails must fail here, not half-way through an update.
    if len(path) > LONGEST_PATH or any(char < " " or char in '\\:*?"<>|\x7f' for char in path):
        raise ManifestError("has an impossible path: {}".format(path[:80]))
    if parts[-1].startswith("ota_saved."):
        raise ManifestError("has the name of recovery's own copy")
    return path


def check_removable(path):
    """Refuse to remove what the device needs to come back from a bad release."""
    name = path.rpartition("/")[2]
    if path == "flash/boot.py" or name.startswith("ota_boot.") or name.startswith("ota_recovery."):
        raise ManifestError("removes {}, which recovery needs".format(path))
