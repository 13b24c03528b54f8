"""Ends an update: the outcome, and what can be removed; part of recovery, see ota_recovery."""

import os

from ota_files import (
    FOLDER,
    HASH_DIGITS,
    INCOMPLETE,
    NONE,
    OWN,
    REFUSED,
    ROOM,
    VERSION_RECORD,
    first_names,
    remove,
)


def end(journal, result, reason):
    """End the update: record the outcome and clean up. Removing the journal commits it.

    Args:
        journal: a Journal whose state() has been called.
        result: "installed" or "rolled back".
        reason: why it was rolled back, else "".
    """
    version = journal.version
    if journal.count("no alarm"):
        reason += ("; " if reason else "") + "no alarm could be set for the trial"
    journal.make_room()
    _remove_previous(journal)
    _write_outcome(journal, result, reason)
    os.remove(journal.path)
    journal.board.sync()
    # The old contents go last: a rollback needs them as long as there is a journal.
    clear(journal)
    journal.log("update: {} {}".format(result, version))


def leave_incomplete(journal, reason):
    """Say that not all could be restored. The journal stays, so that each boot tries again.

    Args:
        journal: a Journal whose state() has been called.
        reason: for the outcome.
    """
    outcome = journal.outcome()
    if outcome and outcome[1:] == (journal.version, journal.previous_version, reason):
        return  # an earlier boot said so
    record = journal.absolute(VERSION_RECORD)
    try:
        mark_incomplete(record, _old_record(journal))
    except OSError:
        # Without a version, too, the next update brings all that is missing.
        remove(record)
    journal.board.sync()
    # Last, since it tells the next boot that all this is done.
    _write_outcome(journal, "rolled back", reason)


def mark_incomplete(record, known):
    """Write a version record that says that the release is not whole.

    Args:
        record: path of the record.
        known: path of the record with the versions, None if there is none.
    """
    text = ""
    if known:
        with open(known, "r") as lines:
            for line in lines:
                text += "" if line.startswith("RELEASE") else line
    with open(record, "w") as target:
        target.write(text + "RELEASE = '{}'\n".format(INCOMPLETE))


def _old_record(journal):
    """Return the path of the old release's version record in the store, None if it has none."""
    with journal.targets(back=True) as targets:
        for path, sha256, _, _, _ in targets:
            if path == VERSION_RECORD and sha256 != NONE:
                return journal.stored(path, sha256)
    return None


def _write_outcome(journal, result, reason):
    if result == "rolled back":
        with open("{}/{}".format(journal.folder, REFUSED), "w") as refused:
            refused.write(journal.identity)
    fields = (result, journal.version, journal.previous_version, reason)
    with open(journal.folder + "/outcome", "w") as record:
        record.write("\t".join(fields))
    journal.board.sync()


def _remove_previous(journal):
    """Remove the copy of an ota_recovery that the update replaces."""
    with journal.targets(back=False) as targets:
        for path, _, _, _, _ in targets:
            path = journal.absolute(path)
            at = path.rfind("/") + 1
            if path.startswith("ota_recovery.", at):
                remove(path[:at] + "ota_prev" + path[path.rfind(".") :])


def clear(layout, is_kept=None):
    """Remove the library's own files except the journal and the outcome.

    Anything else stays: a garbage name on a damaged FAT may refer to clusters in use.
    Names with "~" are what FAT leaves of a long name if a power cut interrupts its removal.

    Args:
        layout: a Layout.
        is_kept: function of a folder and a name that returns whether to keep that file, too.
    """
    for root in layout.roots.values():
        folder = root + "/" + FOLDER
        removed = True

        def unneeded(name, folder=folder):
            return _is_own(name) and not (is_kept and is_kept(folder, name))

        while removed:
            removed = False
            for name in first_names(folder, unneeded, 16):
                layout.board.feed_watchdog()
                removed = _try_to_remove(layout, folder + "/" + name) or removed


def _try_to_remove(layout, path):
    try:
        os.remove(path)
    except OSError as error:
        layout.log("update: can't remove {}: {}".format(path, error))
        return False
    return True


def _is_own(name):
    if len(name) == HASH_DIGITS or name in OWN or name == ROOM:
        return True
    # Those that begin with ota_ are copies of recovery.
    return "~" in name or name.startswith("ota_")
