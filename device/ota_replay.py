"""Carries out the journal: installs, counts the trial, goes back; part of recovery.

A power cut may interrupt this anywhere: the next boot begins anew, and whatever is in place
already stays. No file is renamed: contents are copied from the store, so that an interrupted
copy is simply repeated, and on FAT no cluster chain ever has two names.
docs/device-journal.md has the states and the events.
"""

import os

from ota_files import NONE, copy_file, exists, file_sha256, make_folders, remove
from ota_journal import Journal

ATTEMPTS = 3
TRIAL_S = 3600
BUFFER_BYTES = 1024


class Recovery:
    """An update once its journal is written. Methods raise OSError if a file system fails.

    Args:
        journal: a Journal.
    """

    def __init__(self, journal):
        self.journal = journal
        self.board = journal.board
        self.log = journal.log

    def at_boot(self):
        """Continue an interrupted update or trial; return the state unless the device resets."""
        state = self.journal.state()
        if state == "idle":
            return state
        self.log("update: {}".format(state))
        if state == "trial":
            self.count_boot()
            return state
        if state == "back":
            self.go_back()
        else:
            self.install()
        self.board.reset()
        return state

    def install(self):
        """Apply the journal and start the trial; if it fails, the next boot goes back."""
        journal = self.journal
        try:
            self._carry_out(back=False)
            journal.note("trial")
            if not journal.firmware_runs():
                self.board.boot_slot(journal.new_slot)
        except OSError as error:
            journal.note("back", "install failed: {}".format(error))

    def go_back(self, reason="requested"):
        """Restore the old release and end the update; may reset the device.

        Args:
            reason: for the outcome.
        """
        journal = self.journal
        if not journal.count("back"):
            journal.note("back", reason)
        self.log("update: going back")
        reason = journal.reason
        try:
            self._carry_out(back=True)
        except OSError as error:
            self.log("update: {}".format(error))
            # A card may work again after a reset, but the device can't wait for ever.
            if journal.note("tried") < ATTEMPTS:
                self.board.reset()
            reason += "; not all could be restored: {}".format(error)
        if not self._start_old_firmware():
            reason += "; the old firmware does not start, so the new one stays"
        from ota_ending import end  # only now, to save memory

        end(journal, "rolled back", reason)

    def _start_old_firmware(self):
        """Return whether the old firmware runs; resets to start it."""
        slot = self.journal.old_slot
        if slot not in (NONE, self.board.running_slot()):
            if self.journal.note("switch") <= ATTEMPTS:
                self.board.boot_slot(slot)
                self.board.reset()
            return False
        if slot != NONE:
            # The old image was selected again, so the bootloader treats it as new.
            self.board.keep_slot()
        return True

    def count_boot(self):
        """Count a boot on trial: roll back after the last; reset if the firmware is wrong."""
        journal = self.journal
        in_place = journal.firmware_runs()
        # A boot with the wrong firmware counts apart: the application doesn't run in it.
        boots = journal.note("boot" if in_place else "switched")
        if in_place:
            # Boots that ended while the alarm was being set don't speak against the release.
            boots -= journal.count("arming") - journal.count("armed")
        if boots > journal.trial_boots:
            self.go_back("not confirmed in {} boots".format(journal.trial_boots))
            self.board.reset()
        elif not in_place:
            # Power failed before the switch, or the bootloader rolled back: switch again.
            try:
                self.board.boot_slot(journal.new_slot)
            except OSError as error:
                self.go_back("the firmware does not start: {}".format(error))
            self.board.reset()

    def _carry_out(self, back):
        """Bring every entry to its new state, or back to its old one."""
        failure = None
        buf = bytearray(BUFFER_BYTES)
        # Removals first, to free space.
        for removals in (True, False):
            with self.journal.targets(back) as targets:
                for path, sha256, size in targets:
                    self.board.feed_watchdog()
                    try:
                        if (sha256 == NONE) == removals:
                            self._carry_out_one(path, sha256, size, buf)
                    except OSError as error:
                        failure = error  # still try the others
        self.board.sync()
        if failure:
            raise failure

    def _carry_out_one(self, path, sha256, size, buf):
        root = self.journal.roots[path.split("/", 1)[0]]
        if root and not exists(root):
            raise OSError("there is no {}".format(root))
        if sha256 == NONE:
            self._remove(path)
            return
        target = self.journal.absolute(path)
        if exists(target) and os.stat(target)[6] == size and file_sha256(target, buf) == sha256:
            return
        make_folders(target, root)
        copy_file(self.journal.stored(path, sha256), target, sha256, buf)

    def _remove(self, path):
        remove(self.journal.absolute(path))
        parent = path[: path.rfind("/")]
        try:
            while "/" in parent:
                # An earlier attempt may have removed this one: continue with its parent.
                if exists(self.journal.absolute(parent)):
                    os.rmdir(self.journal.absolute(parent))
                parent = parent[: parent.rfind("/")]
        except OSError:
            pass  # not empty


def recover(board=None, log=None, trial_s=TRIAL_S):
    """Continue an update that a reset interrupted.

    Args:
        board: a Board, see ota_ports; None to detect it.
        log: called with each message, one line of text.
        trial_s: seconds after which the device resets unless the release on trial has been
            confirmed; 0 for never.

    Returns "idle", or "trial" while a release is waiting for confirm(). Any error is raised,
    with the alarm set if possible: the device has to try again in the end.
    """
    if board is None:
        from ota_ports import find_board

        board = find_board()
    journal = Journal(board, log)
    try:
        state = Recovery(journal).at_boot()
    except Exception:
        # Not "finally": in a simulation, a reset is an exception.
        _set_alarm(journal, trial_s)
        raise
    if state == "trial":
        _set_alarm(journal, trial_s)
    return state


def _set_alarm(journal, trial_s):
    if trial_s:
        from ota_alarm import set_alarm

        set_alarm(journal, trial_s)
