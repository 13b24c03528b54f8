"""Names of files and folders: which are part of a tree, and what people meant by others."""

import re

from otaserver.catalogue.versions import is_version_name

# What operating systems, tools and editors leave behind, in lower case.
LEFT_BEHIND = frozenset(
    (
        "#recycle", "$recycle.bin", "@eadir", "__macosx", "__pycache__", "cvs", "deadjoe",
        "desktop.ini", "ehthumbs.db", "icon\r", "lost+found", "network trash folder",
        "pymakr.conf", "system volume information", "temporary items", "thumbs.db",
    )
)  # fmt: skip
LEFT_BEHIND_ENDINGS = (
    "~", ".bak", ".kate-swp", ".old", ".orig", ".pyc", ".pyo", ".rej", ".swo", ".swp", ".swx",
    "___jb_old___", "___jb_tmp___", "zone.identifier",
)  # fmt: skip

# Devices quote a version in a Python string, and send it in a request; the original client
# does so without percent-encoding it.
NOT_IN_VERSIONS = re.compile(r"[^!-~]|['\"\\#%&]")

# What FTP, SFTP and web clients append to the name of a file while they upload it.
UNFINISHED_ENDINGS = (
    ".!sync", ".aria2", ".crdownload", ".download", ".drivedownload", ".driveupload", ".filepart",
    ".lftp-pget-status", ".opdownload", ".part", ".partial", ".temp", ".tmp", ".upload",
    ".uploading",
)  # fmt: skip

# The folders in which rsync keeps what it has of a file, with --partial-dir (by the name
# that its manual gives) and --delay-updates.
UNFINISHED_FOLDERS = frozenset((".rsync-partial", ".~tmp~"))
# What servers and clients make of a name that they write to: ProFTPD and lftp, Pure-FTPd,
# Apache's WebDAV, GNOME's files, Ansible.
UNFINISHED_BEGINNINGS = (
    ".in.", ".pureftpd-upload.", ".davfs.tmp", ".goutputstream-", ".ansible_tmp",
)  # fmt: skip

# rsync's temporary names end in six random letters and digits (mkstemp(3)). A word such
# as "backup" or "sample" has six letters, too, but neither capitals nor digits.
_RSYNC_NAME = re.compile(r"\..+\.(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{6}", re.ASCII | re.DOTALL)
# Those of ownCloud's and Nextcloud's clients end in "~" and a number in hexadecimal.
_NEXTCLOUD_NAME = re.compile(r"\..+\.~[0-9a-f]{1,8}", re.ASCII | re.DOTALL)

_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".txz", ".xz", ".zip", ".zst")
# Where a version may begin in a name. The surest first: one with a dot that stands alone; one
# with a dot behind a word, as in "release1.0.2"; a number that stands alone.
_VERSION_BEGINNINGS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"(?<![A-Za-z0-9.])[vV]?(?=[0-9]+\.[0-9])",
        r"(?<![0-9])(?<![0-9]\.)(?=[0-9]+\.[0-9])",
        r"(?<![A-Za-z0-9.])[vV]?(?=[0-9])",
    )
)
# As much of the name of an image as belongs to its version: "1.0.4-rc1" of "1.0.4-rc1-esp32".
_VERSION_OF_IMAGE = re.compile(
    r"[vV]?[0-9]+(\.[0-9A-Za-z]+)*"
    r"([-_+.](([0-9]+|a|alpha|b|beta|rc|pre|preview|dev|post|r|rev|hotfix|final|dirty)[0-9]*"
    r"|g[0-9a-f]{4,40})(\.[0-9A-Za-z]+)*(?![0-9A-Za-z]))*"
)
_PLAIN_VERSION = re.compile(r"[vV]?[0-9]+(\.[0-9]+)+", re.ASCII)
_NAME_WITHOUT_BIN = re.compile(r"firmware[_-][vV]?[0-9]+(\.[0-9]+)*", re.ASCII | re.IGNORECASE)
_FIRMWARE_NAME = re.compile(r"firmware_(?P<version>.+)\.bin", re.DOTALL)


def is_part(name: str) -> bool:
    """Tell whether a file or folder of this name can be part of a tree at all.

    Args:
        name: the name.

    Returns:
        False for hidden names, and for what systems, tools and editors leave behind.
    """
    lowered = name.lower()
    return not (
        name.startswith((".", "~$"))
        or (name.startswith("#") and name.endswith("#"))
        or lowered.endswith(LEFT_BEHIND_ENDINGS)
        or lowered in LEFT_BEHIND
    )


def is_unfinished(name: str) -> bool:
    """Tell whether a name is that of a file whose upload has not come to its end.

    Args:
        name: the name.

    Returns:
        Whether an upload is going on, or has stalled.
    """
    return (
        name.lower().endswith(UNFINISHED_ENDINGS)
        or name.startswith(UNFINISHED_BEGINNINGS)
        or name in UNFINISHED_FOLDERS
        or _RSYNC_NAME.fullmatch(name) is not None
        or _NEXTCLOUD_NAME.fullmatch(name) is not None
    )


def firmware_version(name: str) -> str | None:
    """Extract the version from the file name of a firmware image.

    Args:
        name: a file name.

    Returns:
        ``1.0.1`` for ``firmware_1.0.1.bin``; None if it is not a firmware image.
    """
    match = _FIRMWARE_NAME.fullmatch(name)
    if match is None or not is_version_name(match["version"]):
        return None
    return match["version"]


def plain_version(version: str) -> str:
    """Replace what a device can't record or send in a version.

    Args:
        version: a version, or any other text.

    Returns:
        The text with a hyphen for each run of such characters, and with none at its ends.
    """
    parts = (part.strip("-") for part in NOT_IN_VERSIONS.split(version))
    return "-".join(part for part in parts if part)


def is_plain_version(name: str) -> bool:
    """Tell whether a name can hardly be anything but a version.

    Args:
        name: a name.

    Returns:
        Whether it consists of numbers and dots, as ``v1.0.1`` does.
    """
    return _PLAIN_VERSION.fullmatch(name) is not None


def intended_version(name: str) -> str | None:
    """Guess the version that somebody meant by a name that is none.

    Args:
        name: a name such as ``release_1.0.2``, ``1.0.2 final`` or ``1.0.1.zip``.

    Returns:
        A name that is a version, such as ``1.0.2-final``; None if the name has no
        version in it.
    """
    plain = plain_version(_unpacked(name))
    beginnings = _version_beginnings(plain)
    return plain[beginnings[0] :] if beginnings else None


def intended_content(name: str) -> str | None:
    """Guess the release or firmware that somebody meant by an archive.

    Args:
        name: a file name, such as ``1.0.1.zip``.

    Returns:
        The name of the folder or file to unpack it into; None if it is no archive of a
        version.
    """
    inner = _unpacked(name)
    if inner == name or intended_version(inner) is None:
        return None
    if firmware_version(inner) is not None:
        return inner
    if "firmware" in inner.lower() or _without_bin(inner) != inner:
        return _as_firmware(inner)
    return intended_version(inner)


def intended_firmware(name: str) -> str | None:
    """Guess the firmware that somebody meant by a file beside releases.

    Args:
        name: a file name such as ``firmware-1.0.4.bin``, ``Firmware_1.0.3.bin`` or
            ``ESP32_GENERIC-OTA-20240602-v1.23.0.app-bin``.

    Returns:
        The name that would be firmware, ``firmware_VERSION.bin`` if the name tells no
        version; None if the file doesn't look like firmware, or has such a name.
    """
    is_image = _without_bin(name) != name or _NAME_WITHOUT_BIN.fullmatch(name) is not None
    return _as_firmware(name) if is_image and firmware_version(name) is None else None


def _unpacked(name: str) -> str:
    """Take the endings of an archive away, such as ``.tar.gz``."""
    while name.lower().endswith(_ARCHIVES):
        name = name.rpartition(".")[0]
    return name


def _without_bin(name: str) -> str:
    return re.sub(r"([._-]app)?[._-]bin$", "", name, flags=re.IGNORECASE)


def _as_firmware(name: str) -> str:
    plain = plain_version(_without_bin(name))
    beginnings = _version_beginnings(plain)
    # The last: others before it are dates or versions of chips.
    match = _VERSION_OF_IMAGE.match(plain, beginnings[-1]) if beginnings else None
    return f"firmware_{match[0] if match else 'VERSION'}.bin"


def _version_beginnings(text: str) -> list[int]:
    found = ([match.start() for match in one.finditer(text)] for one in _VERSION_BEGINNINGS)
    return next((places for places in found if places), [])
