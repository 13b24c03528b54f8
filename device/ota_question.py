"""What precedes an update: the library's own folder, and the question for the manifest."""

import os

from ota_errors import is_sha256
from ota_files import FOLDER, exists, remove

EIO = 5
UNQUOTED = "-._~"


def begin(ota, layout):
    """Prepare the library's folder; return the path and query of the manifest to ask for.

    Args:
        ota: the OTA that is updating.
        layout: its Layout, which is idle.
    """
    _prepare_folders(layout)
    record = ota.record()
    fields = []
    for name, value in (
        ("current_ver", record.get("VERSION")),
        ("firmware_ver", record.get("FIRMWARE_VERSION")),
        ("release", record.get("RELEASE")),
        ("device", ota.device),
    ):
        # A RELEASE that somebody else has put there is no content id: the server would refuse it.
        if value and (name != "release" or is_sha256(value)):
            fields.append("{}={}".format(name, _quoted(value, "")))
    folder = "/" + _quoted(ota.product.strip("/"), "/") if ota.product else ""
    return folder + "/manifest.json" + ("?" + "&".join(fields) if fields else "")


def _prepare_folders(layout):
    """Create the folders and remove a stale journal; stored contents stay."""
    for root in layout.board.roots.values():
        if (root == "" or exists(root)) and not exists(root + "/" + FOLDER):
            os.mkdir(root + "/" + FOLDER)
    remove(layout.path)
    if not exists(layout.folder + "/outcome"):
        # Created now: a new name after the journal is written could be lost by FAT.
        open(layout.folder + "/outcome", "w").close()
    try:
        open(layout.folder + "/manifest", "wb").close()
    except OSError as error:
        if error.args[0] != EIO:
            raise
        # FAT has left the file with a broken cluster chain; it can't be opened any more.
        from ota_commit import move_aside

        move_aside(layout.board.roots["flash"])


def _quoted(text, kept):
    quoted = ""
    for byte in text.encode():
        char = chr(byte)
        safe = byte < 128 and (char.isalpha() or char.isdigit() or char in UNQUOTED + kept)
        quoted += char if safe else "%{:02X}".format(byte)
    return quoted
