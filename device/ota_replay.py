"""Carries out the journal: installs, counts the trial, goes back; part of recovery.

A power cut may interrupt this anywhere: the next boot begins anew, and whatever is in place
already stays. Where a file system replaces files at one moment by renaming, contents are
renamed from and to the store. Elsewhere they are copied from it, so that an interrupted
copy is simply repeated, and on FAT no cluster chain ever has two names.
docs/device-journal.md has the states and the events.
"""

from ota_files import NONE
from ota_journal import Journal

ATTEMPTS = 3
TRIAL_S = 3600


class Recovery:
    """An update once its journal is written. Methods raise OSError if a file system fails.

    Args:
        journal: a Journal.
        sets_alarm: whether a boot on trial sets the alarm afterwards.

    ``is_arming`` is whether that has been noted.
    """

    def __init__(self, journal, sets_alarm=False):
        self.journal = journal
        self.is_arming = False
        self._sets_alarm = sets_alarm
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
        if state == "installing":
            self.install()
        elif not self.go_back():
            return "incomplete"
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

        Returns whether the update has ended. If not all could be restored in ATTEMPTS boots, the
        application has to start; each boot tries again.
        """
        journal = self.journal
        if not journal.count("back"):
            journal.note("back", reason)
        self.log("update: going back")
        reason = journal.reason
        failure = None
        try:
            self._carry_out(back=True)
        except OSError as error:
            self.log("update: {}".format(error))
            # A card may work again after a reset, but the device can't wait for ever.
            if self._may_try_again():
                self.board.reset()
            failure = error
        if not self._start_old_firmware():
            reason += "; the old firmware does not start, so the new one stays"
        from ota_ending import end, leave_incomplete  # only now, to save memory

        if failure:
            reason = "{}; not all could be restored: {}".format(reason, failure)
            try:
                leave_incomplete(journal, reason)
            except OSError as error:
                self.log("update: {}".format(error))  # the next boot tries this again, too
            return False
        end(journal, "rolled back", reason)
        return True

    def _may_try_again(self):
        """Note that not all could be restored; return whether to try once more after a reset."""
        if self.journal.count("tried") >= ATTEMPTS - 1:
            return False
        try:
            self.journal.note("tried")
        except OSError:
            return False  # resets that don't count would repeat for ever
        return True

    def _start_old_firmware(self):
        """Return whether the old firmware runs; resets to start it."""
        slot = self.journal.old_slot
        if slot not in (NONE, self.board.running_slot()):
            # If not all could be restored, each boot comes here: then no more notes are added.
            if self.journal.count("switch") < ATTEMPTS:
                count = self.journal.note("switch")
                # Selected anew, the old image would be on trial itself, and a power cut could
                # leave none that the bootloader starts. So it goes back by itself, if it can.
                if count > 1 or not self.board.goes_back:
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
        arms = self._sets_alarm and in_place and may_arm(journal)
        try:
            name = "boot" if in_place else "switched"
            boots = journal.note(name, also="arming" if arms else None)
            self.is_arming = arms
        except OSError as error:
            # The release has filled the flash: boots that don't count would repeat for ever.
            self.go_back("a boot can't be counted: {}".format(error))
            self.board.reset()
            return
        if in_place:
            # Boots that ended while the alarm was being set don't speak against the release.
            boots -= journal.count("arming") - journal.count("armed") - arms
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
        from ota_placing import Placing

        failure = Placing(self.journal, back).carry_out()
        self.board.sync()
        if failure:
            raise failure


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
    recovery = Recovery(journal, trial_s > 0)
    try:
        state = recovery.at_boot()
    except Exception:
        # Not "finally": in a simulation, a reset is an exception.
        _set_alarm(journal, trial_s, recovery.is_arming)
        raise
    if state == "trial":
        _set_alarm(journal, trial_s, recovery.is_arming)
    return state


def may_arm(journal):
    """Return whether no earlier boot of this trial ended while it set the alarm.

    Args:
        journal: a Journal whose state() has been called.
    """
    return not journal.count("no alarm") and journal.count("arming") <= journal.count("armed")


def _set_alarm(journal, trial_s, is_noted):
    if trial_s:
        from ota_alarm import set_alarm

        set_alarm(journal, trial_s, is_noted, is_noted or may_arm(journal))
