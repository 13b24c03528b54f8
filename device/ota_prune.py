"""Removes what earlier attempts have left and this update does not need."""

from ota_ending import clear
from ota_files import ENTRY_FIELDS, FOLDER, HASH_DIGITS, Lines, exists
from ota_wanted import Seen

# What this attempt has written, and where an earlier download of firmware had come to.
KEPT = ("draft", "manifest", "slot")


def prune(layout, has_draft):
    """Keep the contents that the draft needs, and any that an earlier update couldn't restore.

    Args:
        layout: a Layout.
        has_draft: whether there is a draft; otherwise nothing is needed for one.
    """
    has_journal = exists(layout.path)
    seen = Seen()
    if has_draft:
        with layout.drafted() as drafted:
            _add(seen, drafted)
    if has_journal:
        with Lines(layout.path, ENTRY_FIELDS) as entries:
            _add(seen, entries)

    damaged = []

    def is_kept(folder, name):
        if name in KEPT:
            return has_draft
        if name.startswith("ota_"):
            return has_journal
        try:
            kept = len(name) == HASH_DIGITS and seen.once(name)
        except ValueError:
            return False  # not a hash
        if kept and not _is_readable(folder + "/" + name):
            damaged.append(folder[: -len(FOLDER) - 1])
        return kept

    clear(layout, is_kept)
    if damaged:
        from ota_damage import move_aside

        move_aside(damaged[0])


def _is_readable(path):
    """Return whether a file can be read; FAT may leave one that can't be written either."""
    try:
        with open(path, "rb") as content:
            content.read(1)
    except OSError:
        return False
    return True


def _add(seen, entries):
    for entry in entries:
        seen.add(entry[1])
        seen.add(entry[3])
