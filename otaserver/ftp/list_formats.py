"""The formats of FTP listings: for people (LIST) and for programs (NLST, MLSD, MLST)."""

import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from time import gmtime, strftime
from typing import NamedTuple

from otaserver.catalogue.model import MANIFEST_NAME, File, Folder
from otaserver.ftp.replies import inner_line

# RFC 3659, section 7.5, in the order in which they are written.
FACTS = ("type", "size", "modify", "perm", "unique")

# For older files, LIST shows the year instead of the time of day, as ls does.
_RECENT_S = 182 * 86400

# In English, whatever the locale: clients parse these.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Entry(NamedTuple):
    """One line of a listing.

    Attributes:
        name: the name in its folder.
        is_folder: whether it is a folder.
        size_bytes: the size in bytes; 0 for a folder.
        mtime_s: when it last changed, in seconds since 1970.
        unique: an identifier that no other entry of the tree has (RFC 3659,
            section 7.5.2).
    """

    name: str
    is_folder: bool
    size_bytes: int
    mtime_s: int
    unique: str


# Encodes the entries of a listing as bytes.
Form = Callable[[Iterable[Entry]], bytes]


def file_entry(file: File) -> Entry:
    """Make the entry of a file.

    Args:
        file: the file.

    Returns:
        Its entry.
    """
    return Entry(file.name, False, file.size_bytes, file.mtime_s, _unique(file.path))


def folder_entry(folder: Folder) -> Entry:
    """Make the entry of a folder.

    Args:
        folder: the folder.

    Returns:
        Its entry.
    """
    return Entry(folder.name, True, 0, folder.mtime_s, _unique(f"{folder.path}/"))


def manifest_entry(folder: Folder, size_bytes: int) -> Entry:
    """Make the entry of a release tree's manifest.

    Args:
        folder: the release tree.
        size_bytes: the size of the manifest that is sent for a request without a
            query, in bytes.

    Returns:
        The manifest's entry.
    """
    unique = _unique(f"{folder.path}/{MANIFEST_NAME}")
    return Entry(MANIFEST_NAME, False, size_bytes, manifest_mtime_s(folder), unique)


def manifest_mtime_s(folder: Folder) -> int:
    """Find out when a release tree's manifests last changed.

    Args:
        folder: the release tree.

    Returns:
        The time in seconds since 1970.
    """
    times_s = [folder.mtime_s]
    if folder.tree is not None and folder.tree.newest_release is not None:
        times_s.append(folder.tree.newest_release.mtime_s)
    if folder.tree is not None and folder.tree.newest_firmware is not None:
        times_s.append(folder.tree.newest_firmware.file.mtime_s)
    return max(times_s)


def entries_of(
    folder: Folder, manifest_bytes: int | None, names: "re.Pattern[str] | None" = None
) -> list[Entry]:
    """List a folder.

    FTP can neither list nor request a name that contains a line break, so such
    names are left out.

    Args:
        folder: the folder.
        manifest_bytes: the size of its manifest in bytes; None if it has none, or if
            that isn't to be listed.
        names: matches the names to list; None for all.

    Returns:
        Its entries: folders, then the manifest, then files.
    """

    def is_listed(name: str) -> bool:
        return is_tellable(name) and (names is None or names.match(name) is not None)

    entries = [folder_entry(one) for name, one in folder.folders.items() if is_listed(name)]
    if manifest_bytes is not None:
        entries.append(manifest_entry(folder, manifest_bytes))
    entries += [file_entry(one) for name, one in folder.files.items() if is_listed(name)]
    return entries


def is_tellable(name: str) -> bool:
    """Return whether FTP can express a name, that is, whether it fits on one line.

    Args:
        name: the name of a file or folder.

    Returns:
        False if it contains a line break.
    """
    return "\n" not in name and "\r" not in name


def names_form(prefix: str) -> Form:
    """NLST: names that can be used as arguments unchanged (RFC 1123, section 4.1.2.7).

    Args:
        prefix: prepended to each name, such as ``flash/``.

    Returns:
        The encoder for such a listing.
    """
    return lambda entries: "".join(f"{prefix}{entry.name}\r\n" for entry in entries).encode()


def unix_form(wall_s: float) -> Form:
    """LIST: the format of ``ls -l`` on Unix, with times in UTC.

    Args:
        wall_s: the current time, in seconds since 1970.

    Returns:
        The encoder for such a listing.
    """
    return lambda entries: "".join(f"{unix_line(entry, wall_s)}\r\n" for entry in entries).encode()


def reply_form(wall_s: float) -> Form:
    """STAT: the format of LIST, as lines inside a reply (see `otaserver.ftp.replies`).

    Args:
        wall_s: the current time, in seconds since 1970.

    Returns:
        The encoder for such a listing.
    """
    return lambda entries: b"".join(inner_line(unix_line(entry, wall_s)) for entry in entries)


def facts_form(facts: Iterable[str]) -> Form:
    """MLSD: a line of facts for each entry (RFC 3659, section 7).

    Args:
        facts: the names of the facts to include; others are left out.

    Returns:
        The encoder for such a listing.
    """
    wanted = frozenset(facts)
    return lambda entries: "".join(
        f"{facts_of(entry, wanted)} {entry.name}\r\n" for entry in entries
    ).encode()


def unix_line(entry: Entry, wall_s: float) -> str:
    """Format an entry as ``ls -l`` does.

    Args:
        entry: the entry.
        wall_s: the current time, in seconds since 1970.

    Returns:
        The line, without a line break.
    """
    mode = "dr-xr-xr-x 2" if entry.is_folder else "-r--r--r-- 1"
    changed = gmtime(entry.mtime_s)
    is_recent = 0 <= wall_s - entry.mtime_s < _RECENT_S
    when = f"{changed.tm_hour:02}:{changed.tm_min:02}" if is_recent else f"{changed.tm_year:5}"
    month = _MONTHS[changed.tm_mon - 1]
    return f"{mode} ota ota {entry.size_bytes:12} {month} {changed.tm_mday:2} {when} {entry.name}"


def facts_of(entry: Entry, wanted: Iterable[str] = FACTS) -> str:
    """Format an entry's facts (RFC 3659, section 7.2).

    Args:
        entry: the entry.
        wanted: the names of the facts to include.

    Returns:
        The facts, such as ``type=file;size=12;``.
    """
    facts = {
        "type": "dir" if entry.is_folder else "file",
        "modify": time_value(entry.mtime_s),
        "perm": "el" if entry.is_folder else "r",
        "unique": entry.unique,
    }
    if not entry.is_folder:
        facts["size"] = str(entry.size_bytes)
    return "".join(f"{name}={facts[name]};" for name in FACTS if name in facts and name in wanted)


def wanted_facts(argument: str) -> tuple[str, ...]:
    """Parse the facts requested by ``OPTS MLST`` (RFC 3659, section 7.9).

    Args:
        argument: names of facts, each followed by ``;``; unknown ones are ignored.

    Returns:
        The names of the facts to report, in the order of `FACTS`.
    """
    asked = argument.lower().split(";")
    return tuple(name for name in FACTS if name in asked)


def time_value(seconds: int) -> str:
    """Format a time-val (RFC 3659, section 2.3).

    Args:
        seconds: the time in seconds since 1970.

    Returns:
        The time in UTC, as ``YYYYMMDDHHMMSS``.
    """
    return strftime("%Y%m%d%H%M%S", gmtime(seconds))


def _unique(path: str) -> str:
    """Return an identifier for an entry; not all file systems have one that lasts."""
    return f"p{blake2b(path.encode(), digest_size=8).hexdigest()}"
