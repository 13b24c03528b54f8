"""Names of files and folders: which are part of a tree, and what people meant by others."""

import re

from otaserver.catalogue.versions import is_version_name

# What operating systems, tools and editors leave behind, in lower case.
LEFT_BEHIND = frozenset(
    (
        "#recycle", "$recycle.bin", "@eadir", "__macosx", "__pycache__", "desktop.ini", "icon\r",
        "lost+found", "pymakr.conf", "system volume information", "thumbs.db",
    )
)  # fmt: skip
LEFT_BEHIND_ENDINGS = (
    "~", ".orig", ".pyc", ".pyo", ".rej", ".swo", ".swp", ".swx", "___jb_old___", "___jb_tmp___",
)  # fmt: skip

# Devices quote a version in a Python string, and send it in a request; the original client
# does so without percent-encoding it.
NOT_IN_VERSIONS = re.compile(r"[^!-~]|['\"\\#%&]")

# What FTP, SFTP and web clients append to the name of a file while they upload it.
UNFINISHED_ENDINGS = (
    ".aria2", ".crdownload", ".download", ".filepart", ".part", ".partial", ".temp", ".tmp",
    ".upload", ".uploading",
)  # fmt: skip

# The folders in which rsync keeps what it has of a file, with --partial-dir (by the name
# that its manual gives) and --delay-updates. ".in.*" is what ProFTPD and lftp make of a name.
UNFINISHED_FOLDERS = frozenset((".rsync-partial", ".~tmp~"))
UNFINISHED_BEGINNING = ".in."

# rsync's temporary names end in six random letters and digits (mkstemp(3)). A word such
# as "backup" or "sample" has six letters, too, but neither capitals nor digits.
_RSYNC_NAME = re.compile(r"\..+\.(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{6}", re.ASCII | re.DOTALL)

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".7z", ".rar")
_VERSION_IN_NAME = re.compile(r"(?<![A-Za-z0-9])[vV]?[0-9]\S*", re.ASCII)
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
        or name.startswith(UNFINISHED_BEGINNING)
        or name in UNFINISHED_FOLDERS
        or _RSYNC_NAME.fullmatch(name) is not None
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


def intended_version(name: str) -> str | None:
    """Guess the version that somebody meant by a name that is none.

    Args:
        name: a name such as ``release_1.0.2``, ``1.0.2 final`` or ``1.0.1.zip``.

    Returns:
        A name that is a version, such as ``1.0.2-final``; None if the name has no
        version in it.
    """
    for ending in _ARCHIVES:
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
    match = _VERSION_IN_NAME.search(plain_version(name))
    return match[0] if match else None


def intended_content(name: str) -> str | None:
    """Guess the release or firmware that somebody meant by an archive.

    Args:
        name: a file name, such as ``1.0.1.zip``.

    Returns:
        The name of the folder or file to unpack it into; None if it is no archive of a
        version.
    """
    version = intended_version(name) if name.lower().endswith(_ARCHIVES) else None
    if version is not None and "firmware" in name.lower():
        return f"firmware_{version}.bin"
    return version


def intended_firmware(name: str) -> str | None:
    """Guess the firmware that somebody meant by a file beside releases.

    Args:
        name: a file name such as ``firmware-1.0.4.bin``, ``Firmware_1.0.3.bin`` or
            ``ESP32_GENERIC-OTA-20240602-v1.23.0.app-bin``.

    Returns:
        The name that would be firmware, ``firmware_VERSION.bin`` if the name tells no
        version; None if the file doesn't look like firmware, or has such a name.
    """
    stem = re.sub(r"[._-]bin$", "", name, flags=re.IGNORECASE)
    if stem == name or firmware_version(name) is not None:
        return None
    stem = re.sub(r"[._-]app$", "", stem, flags=re.IGNORECASE)
    # The last: others before it are dates or names of chips.
    words = re.sub(r"[_-]+", " ", plain_version(stem))
    versions = _VERSION_IN_NAME.findall(words)
    return f"firmware_{versions[-1] if versions else 'VERSION'}.bin"
