"""Ends an update: the outcome, and what can be removed; part of recovery, see ota_recovery."""

import os

from ota_files import FOLDER, HASH_DIGITS, OWN, first_names, remove


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
    _remove_previous(journal)
    with open(journal.folder + "/outcome", "w") as record:
        record.write("\t".join((result, version, journal.previous_version, reason)))
    journal.board.sync()
    os.remove(journal.path)
    journal.board.sync()
    # The old contents go last: a rollback needs them as long as there is a journal.
    clear(journal)
    journal.log("update: {} {}".format(result, version))


def _remove_previous(journal):
    """Remove the copy of an ota_recovery that the update replaces."""
    with journal.targets(back=False) as targets:
        for path, _, _ in targets:
            path = journal.absolute(path)
            at = path.rfind("/") + 1
            if path.startswith("ota_recovery.", at):
                remove(path[:at] + "ota_prev" + path[path.rfind(".") :])


def clear(journal, kept=()):
    """Remove the library's own files except the journal, the outcome and ``kept``.

    Anything else stays: a garbage name on a damaged FAT may refer to clusters in use.
    Names with "~" are what FAT leaves of a long name if a power cut interrupts its removal.

    Args:
        journal: a Journal.
        kept: names of files to keep.
    """
    for root in journal.roots.values():
        folder = root + "/" + FOLDER
        removed = True
        while removed:
            removed = False
            for name in first_names(folder, _is_own, 16):
                journal.board.feed_watchdog()
                if name not in kept:
                    removed = _try_to_remove(journal, folder + "/" + name) or removed


def _try_to_remove(journal, path):
    try:
        os.remove(path)
    except OSError as error:
        journal.log("update: can't remove {}: {}".format(path, error))
        return False
    return True


def _is_own(name):
    # Those that begin with ota_ are copies of recovery.
    return len(name) == HASH_DIGITS or name in OWN or "~" in name or name.startswith("ota_")
