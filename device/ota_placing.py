"""Brings the files of an update to their new state, or back; part of recovery."""

# (A comment, as compiling a docstring takes memory.)
# There are two passes, so that what goes makes room for what comes:
#
# 1. What is to be replaced or removed goes. Installing, it is renamed into the store, where the
#    way back will find it; going back, nobody needs it any more, nor the contents in the store
#    that only the new release has.
# 2. What is to be there comes, from the store: by renaming, or as a copy if the content is
#    needed once more. See docs/device-journal.md for why both passes can be cut short anywhere
#    and begun anew.
#
# On a root whose files can't be renamed safely, everything was copied into the store before,
# and is copied from there.

import os

from ota_files import (
    FOLDER,
    NONE,
    VERSION_RECORD,
    copy_file,
    exists,
    file_sha256,
    make_folders,
    remove,
)
from ota_wanted import is_copied, remove_empty_folders, wanted

BUFFER_BYTES = 512


class Placing:
    """One way: to the new state of all paths, or back to the old one.

    Args:
        journal: a Journal whose state() has been called.
        back: whether to go back.
    """

    def __init__(self, journal, back):
        self._journal = journal
        self._back = back
        self._buf = bytearray(BUFFER_BYTES)
        with journal.entries() as entries:
            self._wanted = wanted(entries, back)

    def carry_out(self):
        """Do all that can be done; return the last error, None if there was none."""
        failure = record = None
        if self._back:
            self._journal.make_room()
        for step in (self._take_away, self._put_in_place):
            if failure and not self._back:
                break  # what could not be taken away must not be replaced
            with self._journal.targets(self._back) as targets:
                for path, sha256, size, other, _ in targets:
                    if path == VERSION_RECORD:
                        record = path, sha256, size, other
                    else:
                        failure = self._try(step, path, sha256, size, other) or failure
        # It comes last: it must not say that all is in place if it isn't.
        if record and not failure:
            self._try(self._take_away, *record)
            failure = self._try(self._put_in_place, *record)
        return failure

    def _try(self, step, path, *content):
        self._journal.board.feed_watchdog()
        try:
            root = self._journal.roots[path.split("/", 1)[0]]
            if root and not exists(root):
                raise OSError("there is no {}".format(root))
            step(path, *content)
        except OSError as error:
            return error  # still try the others
        return None

    def _moves(self, path):
        return path.split("/", 1)[0] in self._journal.moving and not is_copied(path)

    def _take_away(self, path, sha256, size, other):
        if self._back and other != NONE and not self._wanted.once(other):
            remove(self._journal.stored(path, other))
        target = self._journal.absolute(path)
        if not exists(target) or self._is(target, size, sha256):
            pass
        elif not self._back and self._moves(path):
            self._move_to_store(path, target, other)
        elif self._back and sha256 != NONE and not self._moves(path) and not is_copied(path):
            # A release that filled the file system must not keep the old one out.
            remove(target)
        if sha256 == NONE:
            remove(target)
            remove_empty_folders(self._journal, path)

    def _move_to_store(self, path, target, other):
        stored = self._journal.stored(path, other)
        # Another path may have had the same content. And what has changed since the update was
        # committed is not what going back would look for: it is replaced.
        if not exists(stored) and file_sha256(target, self._buf) == other:
            os.rename(target, stored)

    def _put_in_place(self, path, sha256, size, other):
        target = self._journal.absolute(path)
        if sha256 == NONE or self._is(target, size, sha256):
            return
        name = path.split("/", 1)[0]
        root = self._journal.roots[name]
        make_folders(target, root)
        stored = self._journal.stored(path, sha256)
        if name not in self._journal.moving:
            copy_file(stored, target, sha256, self._buf)
            return
        if is_copied(path) or self._wanted.again(sha256):
            copy = "{}/{}/place".format(root, FOLDER)
            copy_file(stored, copy, sha256, self._buf)
            stored = copy
        elif file_sha256(stored, self._buf) != sha256:
            raise OSError("{} is damaged".format(stored))
        os.rename(stored, target)

    def _is(self, target, size, sha256):
        """Return whether a file is there and has a content; NONE is no content."""
        if sha256 == NONE or not exists(target) or os.stat(target)[6] != size:
            return False
        return file_sha256(target, self._buf) == sha256
