"""Rules for the values in a manifest; each function raises ManifestError if one is broken."""

from ota_errors import ManifestError, is_sha256
from ota_files import FOLDER, SET

# All modules of the library but those of recovery, without "ota_".
MODULES = (
    "answer aside board chunked commit connect damage draft errors esp32 fetch ftp ftp_setup http "
    "image join json json_escape linux manifest moved need odd_answer prune pycom question "
    "redirect retry roots rules sink socket starts store transfer"
)

LONGEST_PATH_BYTES = 200
LONGEST_NAME_BYTES = 100
LONGEST_VERSION = 64
# Not allowed in FAT's names; "~" marks its alternative short names.
FORBIDDEN = '\\:*?"<>|~'


def checked_content(sha256, size, url):
    """Check what describes the content of a file or firmware.

    Args:
        sha256: in lower-case hex.
        size: in bytes, as decimal digits.
        url: absolute, or a path on the server.

    Returns (path on the server, SHA-256, size in bytes as an int).
    """
    if not is_sha256(sha256):
        raise ManifestError("has an invalid sha256")
    return checked_url(url), sha256, int(size)


def checked_url(url):
    """Return the path and query of a URL; its host is ignored in favour of the server.

    Args:
        url: absolute, or a path on the server.
    """
    scheme = url.find("://")
    path = url[url.find("/", scheme + 3) :] if scheme > 0 else url
    if not path.startswith("/") or any(not "!" <= char <= "~" for char in path):
        raise ManifestError("has an invalid URL: {}".format(url[:80]))
    return path


def checked_version(version):
    """Return the version if it can be quoted in a Python string and sent in a request.

    Args:
        version: a string without control characters.
    """
    if not 0 < len(version) <= LONGEST_VERSION or any(char in "'\"\\" for char in version):
        raise ManifestError("has an invalid version: {}".format(version[:80]))
    return version


def checked_path(path, roots):
    """Return the path if an update may write to it.

    Args:
        path: root and file, such as ``flash/lib/x.py``.
        roots: the ``roots`` of the board.
    """
    parts = path.split("/")
    if len(parts) < 2 or parts[0] not in roots:
        raise ManifestError("has a path outside the roots: {}".format(path[:80]))
    own = roots[parts[0]]
    first = parts[1].lower()
    # If flash is mounted at "/", a folder sd in it is the card's mount point.
    forbidden = first == FOLDER or (not own and first in roots)
    place = (own + path[path.find("/") :] + "/").lower()
    for folder in roots.values():
        # The same file would have two names, which nothing else would notice.
        if len(folder) > len(own) and place.startswith(folder.lower() + "/"):
            forbidden = True
    if forbidden:
        raise ManifestError("has a forbidden path: {}".format(path[:80]))
    # A name that FAT can't store must be refused now, not in the middle of an install.
    if len(path.encode()) > LONGEST_PATH_BYTES or any(_impossible(part) for part in parts):
        raise ManifestError("has an invalid path: {}".format(path[:80]))
    if parts[-1].lower().startswith("ota_prev."):
        raise ManifestError("has the reserved name ota_prev")
    return path


def _impossible(name):
    """Return whether a name is invalid, or would name another file on FAT."""
    if not name or name[-1] in ". " or len(name.encode()) > LONGEST_NAME_BYTES:
        return True
    return any(char in FORBIDDEN for char in name)


def check_removable(path):
    """Raise ManifestError for a file that the device needs to recover from a bad release.

    Args:
        path: as returned by checked_path.

    Returns whether the file is a part of the library, which only another one can do without.
    """
    stem = _stem(path)
    if path.lower() == "flash/boot.py" or _is_recovery(stem):
        raise ManifestError("deletes {}, which recovery needs".format(path))
    return stem == "ota" or (stem.startswith("ota_") and stem[4:] in MODULES.split())


def is_compiled_recovery(path):
    """Return whether a file is a part of recovery that other firmware might not load.

    Args:
        path: of a file to install, as returned by checked_path, or a mere name.
    """
    return path.lower().endswith(".mpy") and _is_recovery(_stem(path))


def is_library(path):
    """Return whether a path is that of the library's main module.

    Args:
        path: as returned by checked_path.
    """
    return _stem(path) == "ota"


def _stem(path):
    """Return the name of a module; nothing for any other file, such as ``ota.html``."""
    name = path[path.rfind("/") + 1 :].lower()
    return name[: name.rfind(".")] if name[name.rfind(".") :] in (".py", ".mpy") else ""


def _is_recovery(stem):
    return stem in ("ota_boot", "ota_recovery") or stem in SET
