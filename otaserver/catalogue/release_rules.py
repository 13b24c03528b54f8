"""The rules that a release must keep to be offered; docs/release-rules.md has them as a table.

Devices refuse a release that breaks one of them, before they touch anything. If it were
offered all the same, they would ask for it again and again, for ever, and nobody would
know. The rules of the device library are in its module ``ota_rules``; a test holds the two
against each other.

Some rules are about a single release, `breaches`; others about the step from the release
that a device has to the one that it would get, `step_breach`.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from otaserver.catalogue.model import Release
from otaserver.catalogue.names import NOT_IN_VERSIONS, plain_version
from otaserver.catalogue.versions import is_version_name

DEFAULT_ROOTS = ("flash", "sd")

MAX_PATH_BYTES = 200
MAX_NAME_BYTES = 100
MAX_VERSION_LENGTH = 64
# Devices read URLs of up to 1024 bytes. A host may take 253 of them, and there are the
# scheme, the port, and the start of the path that a proxy may add.
MAX_ADDRESS_BYTES = 700

# FAT stores no name with one of these; "~" marks its alternative short names.
_NOT_ON_FAT = re.compile(r'[\\:*?"<>|~]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# What a device needs to start recovery at boot; an update can't remove it.
BOOT_FILE = "flash/boot.py"
# What the device library records versions in; it passes over a release's own.
VERSION_RECORD = "flash/OTA_VERSION.py"
_RECOVERY = (
    "ota_boot.",
    "ota_recovery.",
    "ota_alarm.",
    "ota_ending.",
    "ota_files.",
    "ota_journal.",
    "ota_placing.",
    "ota_port_esp32.",
    "ota_port_pycom.",
    "ota_ports.",
    "ota_replay.",
    "ota_wanted.",
)
# The rest of the device library.
_LIBRARY = (
    "ota.",
    "ota_answer.",
    "ota_aside.",
    "ota_board.",
    "ota_chunked.",
    "ota_commit.",
    "ota_connect.",
    "ota_damage.",
    "ota_draft.",
    "ota_errors.",
    "ota_esp32.",
    "ota_fetch.",
    "ota_ftp.",
    "ota_ftp_setup.",
    "ota_http.",
    "ota_image.",
    "ota_join.",
    "ota_json.",
    "ota_json_escape.",
    "ota_linux.",
    "ota_manifest.",
    "ota_moved.",
    "ota_need.",
    "ota_odd_answer.",
    "ota_prune.",
    "ota_pycom.",
    "ota_question.",
    "ota_redirect.",
    "ota_retry.",
    "ota_roots.",
    "ota_rules.",
    "ota_sink.",
    "ota_socket.",
    "ota_starts.",
    "ota_store.",
    "ota_transfer.",
)
_RESERVED = "ota_prev."


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that is broken.

    Attributes:
        path: the first file that breaks it, by its path in the release; empty if it is
            the release as a whole.
        what: what is wrong, so that it reads on after the path.
        remedy: what to do about it, as a clause.
    """

    path: str
    what: str
    remedy: str


def version_breach(version: str) -> Breach | None:
    """Check a version that devices have to record and to send.

    Args:
        version: that of a release or firmware.

    Returns:
        The rule that it breaks, if any; the remedy has a better version in it.
    """
    if len(version) > MAX_VERSION_LENGTH:
        return Breach(
            "", f"has a version of more than {MAX_VERSION_LENGTH} characters", "shorten it"
        )
    if NOT_IN_VERSIONS.search(version):
        return Breach(
            "",
            "has a version with a space, a quote or another unsafe character",
            f"change the version, to {plain_version(version)} for example",
        )
    return None


def breaches(release: Release, roots: Collection[str] = DEFAULT_ROOTS) -> Iterator[Breach]:
    """Check a release by itself.

    Args:
        release: the release.
        roots: the folders of a device that its files may be in.

    Yields:
        Each rule that it breaks, once.
    """
    version = version_breach(release.version)
    if version is not None:
        yield version
    seen = set()
    for path, file in release.files.items():
        breach = path_breach(path, roots) or address_breach(path, file.path)
        if breach is not None and breach.what not in seen:
            seen.add(breach.what)
            yield breach
    clash = _case_clash(release)
    if clash is not None:
        yield clash


def step_breach(old: Release, new: Release) -> Breach | None:
    """Check whether a device that has one release can take another.

    Args:
        old: the release that it has.
        new: the release that it would get.

    Returns:
        The first rule that the step breaks, if any.
    """
    return (
        _file_and_folder_clash(old, new)
        or _case_change(old, new)
        or _recovery_removed(old, new)
        or _library_removed(old, new)
        or _recovery_not_started(old, new)
    )


def address_breach(path: str, path_on_server: str) -> Breach | None:
    """Check the address that devices have to fetch a file from.

    Args:
        path: the file's path in the release; empty for firmware.
        path_on_server: its path relative to the release tree's root.

    Returns:
        The rule that it breaks, if any.
    """
    if len(quote(path_on_server)) <= MAX_ADDRESS_BYTES:
        return None
    return Breach(
        path,
        f"has an address of more than {MAX_ADDRESS_BYTES} bytes, once it is percent-encoded",
        "shorten the names along its path",
    )


def path_breach(path: str, roots: Collection[str]) -> Breach | None:
    """Check a path that devices have to write to.

    Args:
        path: the path in the release.
        roots: the folders of a device that it may be in.

    Returns:
        The first rule that it breaks, if any.
    """
    parts = path.split("/")
    if parts[0] not in roots or len(parts) < 2:
        return _outside_roots(path, parts, roots)
    return _reserved(path, parts, roots) or _not_on_fat(path, parts)


def _reserved(path: str, parts: list[str], roots: Collection[str]) -> Breach | None:
    if parts[1].lower() in {root.lower() for root in roots}:
        return Breach(
            path,
            f"has {parts[1]} directly inside {parts[0]}, where some boards mount another file "
            "system",
            f"rename {parts[1]}",
        )
    record = "/".join(parts[:2])
    is_record = record.lower() == VERSION_RECORD.lower() and path != VERSION_RECORD
    if is_record or parts[-1].lower().startswith(_RESERVED):
        return Breach(path, "has a name that the device library keeps for itself", "rename it")
    return None


def _not_on_fat(path: str, parts: list[str]) -> Breach | None:
    if len(path.encode()) > MAX_PATH_BYTES:
        return Breach(path, f"has a path of more than {MAX_PATH_BYTES} bytes", "shorten it")
    for name in parts[1:]:
        if len(name.encode()) > MAX_NAME_BYTES:
            return Breach(path, f"has a name of more than {MAX_NAME_BYTES} bytes", "shorten it")
        if _CONTROL.search(name):
            return Breach(path, "has a control character in its name", "rename or delete it")
        if _NOT_ON_FAT.search(name) or name.endswith((".", " ")):
            return Breach(path, "has a name that FAT can't store as it is", "rename it")
    return None


def _outside_roots(path: str, parts: list[str], roots: Collection[str]) -> Breach:
    first = parts[0]
    if len(parts) > 2 and is_version_name(first) and parts[1] in roots:
        remedy = f"move the content of {first} up, or if this is a product, rename it"
        return Breach(path, "is in a release inside the release", remedy)
    *others, last = (f"{root}/" for root in roots)
    listed = f"{', '.join(others)} and {last}" if others else last
    remedy = "move it there, or out of the release"
    if len(parts) > 1 and first.lower() in roots:
        remedy = f"rename {first} to {first.lower()}"
    elif len(parts) > 1:
        remedy += f", or name {first} in --roots if devices have it"
    return Breach(path, f"is outside {listed}", remedy)


def _case_clash(release: Release) -> Breach | None:
    """Two names that FAT takes for one, as files or as folders."""
    seen: dict[str, str] = {}
    for path in (*sorted(release.folders), *release.files):
        other = seen.setdefault(path.lower(), path)
        if other != path:
            return Breach(
                path, f"differs from {other} only in case, which FAT ignores", "rename one"
            )
    return None


def _file_and_folder_clash(old: Release, new: Release) -> Breach | None:
    for kind, other, paths in (
        ("file", "folder", old.folders & new.files.keys()),
        ("folder", "file", new.folders & old.files.keys()),
    ):
        if paths:
            return Breach(
                min(paths),
                f"is a {kind}, but {old.version} has a {other} of that name",
                "rename it",
            )
    return None


def _case_change(old: Release, new: Release) -> Breach | None:
    gone = [*(old.files.keys() - new.files.keys()), *(old.folders - new.folders)]
    if not gone:
        return None
    now = {path.lower(): path for path in (*new.folders, *new.files)}
    path = min((path for path in gone if path.lower() in now), default=None)
    if path is None:
        return None
    return Breach(
        now[path.lower()],
        f"differs from {path} in {old.version} only in case, which FAT ignores",
        "keep the old name, or choose another",
    )


def _recovery_removed(old: Release, new: Release) -> Breach | None:
    for path in sorted(old.files.keys() - new.files.keys()):
        if path.lower() == BOOT_FILE or _module(path).startswith(_RECOVERY):
            return Breach(
                path,
                f"is missing, but {old.version} has it, and devices need it to recover",
                "put it back",
            )
    return None


def _library_removed(old: Release, new: Release) -> Breach | None:
    """A module of the library that is gone, though the one that imports it is the same."""
    for path in sorted(old.files.keys() - new.files.keys()):
        if _module(path).startswith(_LIBRARY) and not _brings_library(old, new):
            return Breach(
                path,
                f"is missing, but {old.version} has it, and devices need it for updates",
                "put it back",
            )
    return None


def _brings_library(old: Release, new: Release) -> bool:
    return any(
        _module(path).startswith("ota.") and (path not in old.files or _differs(old, new, path))
        for path in new.files
    )


def _differs(old: Release, new: Release, path: str) -> bool:
    return old.files[path].sha256 != new.files[path].sha256


def _recovery_not_started(old: Release, new: Release) -> Breach | None:
    if old.starts_recovery and not new.starts_recovery:
        return Breach(
            BOOT_FILE,
            f"does not start recovery, but that of {old.version} does",
            "put the two lines with ota_boot back",
        )
    return None


def _module(path: str) -> str:
    """Return the name of a module's file; nothing for any other, such as ``ota.html``."""
    name = path.rpartition("/")[2].lower()
    return name if name.endswith((".py", ".mpy")) else ""
