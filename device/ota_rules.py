"""What a manifest may ask for: each function returns what it was given, or refuses it."""

from ota_errors import ManifestError
from ota_recovery import FOLDER

LONGEST_PATH_BYTES = 200
LONGEST_NAME_BYTES = 100
LONGEST_VERSION = 64
# What FAT can't have in a name, and the mark of its second, short names.
FORBIDDEN = '\\:*?"<>|~'


def checked_content(sha256, size, url):
    """Return (path on the server, SHA-256, size in bytes) of a file or firmware."""
    if len(sha256) != 64 or sha256.strip("0123456789abcdef"):
        raise ManifestError("has an entry without a proper sha256")
    return checked_url(url), sha256, int(size)


def checked_url(url):
    """Return the path of a URL; the same server is asked for it, whatever host it names."""
    scheme = url.find("://")
    path = url[url.find("/", scheme + 3) :] if scheme > 0 else url
    if not path.startswith("/") or any(not "!" <= char <= "~" for char in path):
        raise ManifestError("has a URL that is none: {}".format(url[:80]))
    return path


def checked_version(version):
    """Return a version that may stand in a Python string and in a request."""
    if not 0 < len(version) <= LONGEST_VERSION or any(char in "'\"\\" for char in version):
        raise ManifestError("has a version that is none: {}".format(version[:80]))
    return version


def checked_path(path, roots):
    """Return the path of a release's file, its root first."""
    parts = path.split("/")
    if len(parts) < 2 or parts[0] not in roots:
        raise ManifestError("has a path outside the roots: {}".format(path[:80]))
    first = parts[1].lower()
    # Where flash is the root, its folder sd would be the card.
    if first == FOLDER or (not roots[parts[0]] and first in roots):
        raise ManifestError("has a forbidden path: {}".format(path[:80]))
    # What FAT takes: a name that fails must fail here, not half-way through an update.
    if len(path.encode()) > LONGEST_PATH_BYTES or any(_impossible(part) for part in parts):
        raise ManifestError("has an impossible path: {}".format(path[:80]))
    if parts[-1].lower().startswith("ota_prev."):
        raise ManifestError("has the name of recovery's own copy")
    return path


def _impossible(name):
    """Say whether a file or folder can't be called so, or would become another one on FAT."""
    if not name or name[-1] in ". " or len(name.encode()) > LONGEST_NAME_BYTES:
        return True
    return any(char in FORBIDDEN for char in name)


def check_removable(path):
    """Refuse to remove what the device needs to come back from a bad release."""
    path = path.lower()
    name = path[path.rfind("/") + 1 :]
    if path == "flash/boot.py" or name.startswith("ota_boot.") or name.startswith("ota_recovery."):
        raise ManifestError("removes {}, which recovery needs".format(path))
