"""The alarm that ends a boot on trial; part of recovery, see ota_recovery.

It may itself end a boot: on some chips, some versions of MicroPython crash as a timer is
set up. So the journal has a note before, ``arming``, and one after, ``armed``. If the second is
missing, no alarm is set in this trial any more, and that boot doesn't count (see ota_replay).
"""

import sys

from ota_files import exists

# Keeps timers referenced: some ports would collect them, and no alarm would go off.
ALARMS = []


def set_alarm(journal, delay_s, is_noted, may_arm):
    """Reset the device after a delay unless the trial has ended by then.

    Args:
        journal: a Journal whose state() has been called.
        delay_s: delay in seconds.
        is_noted: whether this boot has noted that it will do so.
        may_arm: whether no earlier boot has ended in doing so.
    """
    board, path = journal.board, journal.path

    def expire():
        if exists(path):
            board.reset()

    if not may_arm:
        journal.log("update: no alarm, since an earlier boot could not set one")
        if not journal.count("no alarm"):
            _note(journal, "no alarm")
        return
    if not is_noted:
        _note(journal, "arming")
    try:
        board.alarm(delay_s, expire)
    except Exception as error:
        journal.log("update: no alarm: {}".format(repr(error)))
        _note(journal, "no alarm")
    _note(journal, "armed")


def _note(journal, name):
    """Append a note to the journal, if it has room: a trial without an alarm is worse."""
    try:
        journal.note(name)
    except OSError as error:
        journal.log("update: {}".format(error))


def start_timer(delay_s, callback):
    """Start the first timer that works; OSError if none does.

    Args:
        delay_s: delay in seconds.
        callback: function without arguments.
    """
    from machine import Timer

    for number in _numbers(Timer):
        try:
            timer = Timer(number)
            timer.init(
                mode=Timer.ONE_SHOT, period=delay_s * 1000, callback=lambda timer: callback()
            )
        except Exception:
            continue  # the chip doesn't have it
        ALARMS.append(timer)
        return
    raise OSError("this board has no timer for it")


def _numbers(Timer):
    """Return the numbers of the timers to try.

    Timer(-1) is virtual, and nothing else has it. But on an ESP32 up to MicroPython 1.24, it is
    hardware timer 3: an application's Timer(-1) or Timer(3) would silently replace the
    alarm, and on chips with one timer in each group, 3 is none, which crashes some
    versions. There, 2 is in each chip with two groups, and 0 in any chip.
    """
    try:
        # A timer that exists is handed out again; to make one does nothing to the hardware.
        hardware = Timer(-1) is Timer(3)
    except Exception:
        hardware = False
    old = sys.platform == "esp32" and sys.implementation[1] < (1, 25)
    return (2, 0) if hardware or old else (-1, 2, 0)


def cancel():
    """Cancel the alarm; called by confirm() of whichever release is there then."""
    while ALARMS:
        timer = ALARMS.pop()
        try:
            # Pycom's alarms have another name for it.
            (timer.cancel if hasattr(timer, "cancel") else timer.deinit)()
        except Exception:
            pass  # it goes off in vain, as there is no journal then
