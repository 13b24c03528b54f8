"""What precedes an update: the library's own folder, and the question for the manifest."""

import os

from ota_errors import is_sha256
from ota_files import FOLDER, INCOMPLETE, OWN, REFUSED, ROOM, exists, remove

UNQUOTED = "-._~"


def begin(ota, layout, repair):
    """Prepare the library's folder; return the path and query of the manifest to ask for.

    Args:
        ota: the OTA that is updating.
        layout: its Layout, which is idle.
        repair: whether to ask for all files of the release that is installed.
    """
    _prepare_folders(layout)
    record = ota.record()
    fields = []
    for name, value in (
        ("current_ver", record.get("VERSION")),
        ("firmware_ver", record.get("FIRMWARE_VERSION")),
        ("release", INCOMPLETE if repair else record.get("RELEASE")),
        ("device", ota.device),
    ):
        # A RELEASE that somebody else has put there is no content id: the server would refuse it.
        if value and (name != "release" or is_sha256(value)):
            fields.append("{}={}".format(name, _quoted(value, "")))
    folder = "/" + _quoted(ota.product.strip("/"), "/") if ota.product else ""
    return folder + "/manifest.json" + ("?" + "&".join(fields) if fields else "")


def _prepare_folders(layout):
    """Create the library's folders; stored contents stay."""
    for name, root in layout.board.roots.items():
        try:
            if (root == "" or exists(root)) and not exists(root + "/" + FOLDER):
                os.mkdir(root + "/" + FOLDER)
        except OSError as error:
            if name == "flash":
                raise
            # Full, write-protected or broken: only what has files for it needs it.
            layout.log("{} is left out: {}".format(root, error))
    # Created now: a new name after the journal is written could be lost by FAT.
    for name in ("outcome", REFUSED):
        if not exists(layout.folder + "/" + name):
            open(layout.folder + "/" + name, "w").close()
    # An abandoned update's; while there is a journal, going back needs it.
    if not exists(layout.path):
        remove(layout.folder + "/" + ROOM)
    try:
        _open_all(layout.folder)
    except OSError as error:
        from ota_damage import EIO, move_aside

        if error.args[0] != EIO:
            raise
        # FAT has left the file with a broken cluster chain; it can't be opened any more.
        move_aside(layout.board.roots["flash"])


def _open_all(folder):
    open(folder + "/manifest", "wb").close()
    for name in OWN:
        if exists(folder + "/" + name):
            open(folder + "/" + name, "rb").close()


def _quoted(text, kept):
    quoted = ""
    for byte in text.encode():
        char = chr(byte)
        safe = byte < 128 and (char.isalpha() or char.isdigit() or char in UNQUOTED + kept)
        quoted += char if safe else "%{:02X}".format(byte)
    return quoted
