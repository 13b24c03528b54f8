"""What the store's contents are needed for; part of recovery, see ota_recovery."""

import os

from ota_files import BOOT_PY, FOLDER, NONE, VERSION_RECORD, exists

# More of them take more memory; fewer, more copies: see Seen.
SEEN_BITS = 4096
# What must be there at each boot.
STARTERS = ("ota_boot", "ota_recovery")


class Seen:
    """Which contents occur in a set of entries, and which of them more than once.

    A bit stands for all contents with the same first digits, to take little memory. So it
    may err, but only by saying yes.
    """

    def __init__(self):
        self._once = bytearray(SEEN_BITS // 8)
        self._again = bytearray(SEEN_BITS // 8)

    def add(self, sha256):
        """Note that a content occurs.

        Args:
            sha256: of the content, in hex, or at least its beginning.
        """
        if sha256 != NONE:
            at, bit = _place(sha256)
            self._again[at] |= self._once[at] & bit
            self._once[at] |= bit

    def once(self, sha256):
        """Return whether a content may occur.

        Args:
            sha256: see add.
        """
        at, bit = _place(sha256)
        return self._once[at] & bit != 0

    def again(self, sha256):
        """Return whether a content may occur more than once.

        Args:
            sha256: see add.
        """
        at, bit = _place(sha256)
        return self._again[at] & bit != 0


def _place(sha256):
    number = int(sha256[:6], 16) % SEEN_BITS
    return number // 8, 1 << number % 8


def wanted(entries, back):
    """Return which contents must stay in the store while the entries are carried out.

    Installing takes a content out of the store if nothing else needs it: no other path, and
    not the way back. Going back, only other paths count.

    Args:
        entries: an iterator over lines of the draft or the journal.
        back: whether to go back.

    Returns a Seen; those that must stay occur again.
    """
    seen = Seen()
    for entry in entries:
        seen.add(entry[3])
        if not back:
            seen.add(entry[3])
            seen.add(entry[1])
    return seen


def is_copied(path):
    """Return whether a file is copied even where others are renamed.

    Those that start recovery must never be absent; and the version record can be written while
    its old content is still needed.

    Args:
        path: of a release.
    """
    name = path[path.rfind("/") + 1 :]
    return path in (BOOT_PY, VERSION_RECORD) or name[: name.rfind(".")] in STARTERS


def renames(roots, root):
    """Return whether a file system replaces a file at one moment by renaming another.

    LittleFS and Linux do. FAT, which finds names in any case, does not.

    Args:
        roots: path of each root.
        root: name of the root in question; its library folder exists.
    """
    return not exists(roots[root] + "/" + FOLDER.upper())


def remove_empty_folders(layout, path):
    """Remove the folders above a path that has been removed, as far as they are empty.

    Args:
        layout: a Layout.
        path: of a release.
    """
    parent = path[: path.rfind("/")]
    try:
        while "/" in parent:
            # An earlier attempt may have removed this one: continue with its parent.
            if exists(layout.absolute(parent)):
                os.rmdir(layout.absolute(parent))
            parent = parent[: parent.rfind("/")]
    except OSError:
        pass  # not empty
