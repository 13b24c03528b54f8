"""The manifest, read as a stream into lists on flash and checked on the way.

The lists ``delete``, ``new`` and ``update`` each come sorted by path, as the server
sends them. A list out of order is refused: order is what lets duplicates be found
without holding the paths in memory.
"""

from ota_errors import ManifestError
from ota_json import JSONReader
from ota_recovery import FOLDER, NONE

LONGEST_PATH = 200
LONGEST_VERSION = 64
FIELD_KINDS = {"URL": str, "dst_path": str, "sha256": str, "size": int}
LISTS = ("delete", "new", "update")


class Plan:
    """What a manifest asks for; its lists of files lie in ``file_path``.

    firmware: (path on the server, size in bytes, SHA-256, version), or None.
    """

    def __init__(self, file_path, roots):
        self.version = None
        self.previous_version = None
        self.firmware = None
        self._file_path = file_path
        self._roots = roots
        self._spans = {}

    def read(self, stream, buf, limit_bytes):
        """Read a manifest; False if it says that there is nothing to do."""
        reader = JSONReader(stream, buf, limit_bytes)
        if reader.peek() != 0x7B:
            if reader.scalar() is not None:
                raise ManifestError("the manifest is neither an object nor null")
            reader.finish()
            return False
        seen = set()
        with open(self._file_path, "wb") as lists:
            for key in reader.members():
                if key in seen:
                    raise ManifestError("the manifest says {} twice".format(key))
                if self._member(key, reader, lists):
                    seen.add(key)
        reader.finish()
        if self.version is None:
            raise ManifestError("the manifest names no version")
        for _ in self.entries():
            pass  # duplicates between the lists show only now
        return True

    def brings_files(self):
        """Say whether any list has an entry."""
        return any(end > start for start, end in self._spans.values())

    def entries(self):
        """Yield (path, SHA-256 or NONE, size, path on the server), sorted by path."""
        sources = [_Lines(self._file_path, span) for span in self._spans.values()]
        try:
            last = ""
            while True:
                heads = [source for source in sources if source.fields]
                if not heads:
                    return
                source = min(heads, key=lambda head: head.fields[0])
                fields = source.fields
                if fields[0] <= last:
                    raise ManifestError("the manifest lists {} twice".format(fields[0]))
                last = fields[0]
                source.advance()
                yield fields
        finally:
            for source in sources:
                source.close()

    def _member(self, key, reader, lists):
        """Read a member; say whether it is one that the library knows."""
        if key in LISTS:
            start = lists.tell()
            self._list(key, reader, lists)
            self._spans[key] = (start, lists.tell())
        elif key == "version":
            self.version = checked_version(reader.scalar())
        elif key == "previous_version":
            previous = reader.scalar()
            self.previous_version = None if previous is None else checked_version(previous)
        elif key == "firmware":
            record = _record(reader)
            url_path, sha256, size = checked_content(record)
            self.firmware = (url_path, size, sha256, checked_version(record.get("version")))
        else:
            reader.skip()
            return False
        return True

    def _list(self, key, reader, lists):
        last = ""
        for _ in reader.items():
            if key == "delete":
                fields = (self._path(reader.scalar()), NONE, "0", NONE)
                check_removable(fields[0])
            else:
                record = _record(reader)
                url_path, sha256, size = checked_content(record)
                fields = (self._path(record.get("dst_path")), sha256, str(size), url_path)
            if fields[0] <= last:
                raise ManifestError("the list {} is not sorted at {}".format(key, fields[0]))
            last = fields[0]
            lists.write(("\t".join(fields) + "\n").encode())

    def _path(self, path):
        return checked_path(path, self._roots)


class _Lines:
    """One list of the plan's file, a line at a time."""

    def __init__(self, file_path, span):
        self._file = open(file_path, "rb")
        self._file.seek(span[0])
        self._left = span[1] - span[0]
        self.advance()

    def advance(self):
        self.fields = None
        if self._left > 0:
            line = self._file.readline()
            self._left -= len(line)
            self.fields = line.decode().rstrip("\n").split("\t")

    def close(self):
        self._file.close()


def _record(reader):
    """Read an object's known members; the kind of each is checked."""
    record = {}
    for key in reader.members():
        if key == "version" or key in FIELD_KINDS:
            value = reader.scalar()
            # type(), since True is an int to isinstance.
            if type(value) is not FIELD_KINDS.get(key, str):
                raise ManifestError("the manifest has a {} of the wrong kind".format(key))
            record[key] = value
        else:
            reader.skip()
    return record


def checked_content(record):
    """Return (path on the server, SHA-256, size) of a file or firmware."""
    sha256 = record.get("sha256", "")
    size = record.get("size", -1)
    if len(sha256) != 64 or sha256.strip("0123456789abcdef"):
        raise ManifestError("the manifest has an entry without a proper sha256")
    if size < 0:
        raise ManifestError("the manifest has an entry without a proper size")
    return checked_url(record.get("URL", "")), sha256, size


def checked_url(url):
    """Return the path of a URL; the same server is asked for it, whatever host it names."""
    scheme = url.find("://")
    path = url[url.find("/", scheme + 3) :] if scheme > 0 else url
    if not path.startswith("/") or any(not "!" <= char <= "~" for char in path):
        raise ManifestError("the manifest has a URL that is none: {}".format(url[:80]))
    return path


def checked_version(version):
    """Return a version that may stand in a Python string and in a request."""
    if type(version) is not str or not 0 < len(version) <= LONGEST_VERSION:
        raise ManifestError("the manifest has a version that is none")
    if any(char < " " or char in "'\"\\\x7f" for char in version):
        raise ManifestError("the manifest has a version with forbidden characters")
    return version


def checked_path(path, roots):
    """Return a release's path without the leading slash that old clients get."""
    if type(path) is not str:
        raise ManifestError("the manifest has a path that is no string")
    if path.startswith("/"):
        path = path[1:]
    parts = path.split("/")
    if len(parts) < 2 or parts[0] not in roots:
        raise ManifestError("the manifest has a path outside the roots: {}".format(path[:80]))
    if any(part in ("", ".", "..") for part in parts) or parts[1].lower() == FOLDER:
        raise ManifestError("the manifest has a forbidden path: {}".format(path[:80]))
    # What FAT takes: a name that fails must fail here, not half-way through an update.
    if len(path) > LONGEST_PATH or any(char < " " or char in '\\:*?"<>|\x7f' for char in path):
        raise ManifestError("the manifest has an impossible path: {}".format(path[:80]))
    if parts[-1].startswith("ota_saved."):
        raise ManifestError("the manifest has the name of recovery's own copy")
    return path


def check_removable(path):
    """Refuse to remove what the device needs to come back from a bad release."""
    name = path.rpartition("/")[2]
    if path == "flash/boot.py" or name.startswith("ota_boot.") or name.startswith("ota_recovery."):
        raise ManifestError("the manifest removes {}, which recovery needs".format(path))
