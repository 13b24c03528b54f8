"""Starts recovery at boot: all that is loaded when there is nothing to recover.

Recovery is a set of modules (ota_files.SET), which an update may replace. It must be whole at any
moment, so that an update never changes the modules that would complete it:

- While an update replaces one of them, a boot loads the copies in ``.ota`` instead. All of
  them were made, and synced, before the journal was written, by the release that wrote
  it; nothing changes them as long as there is a journal. They also undo a release whose own
  recovery doesn't work.
- This module is found by ota_boot under its own name, or, while it is torn, as its copy
  ``ota_prev``, made before the journal, too. Either finds the copies in ``.ota``.

The set in ``flash/lib`` serves whenever there are no copies: then the update doesn't touch
it. It also serves if the copies are ``.mpy`` files that new firmware doesn't read.
If nothing can be loaded, running half an update would be worse than another attempt: the
boot is noted in the journal, and the device resets, ATTEMPTS times at most.
"""

import gc
import os
import sys

ATTEMPTS = 3
NOTE = b"unloaded\t\n"
# The alarm goes on after the boot, and the others are what is running here.
STAYING = ("ota_boot", "ota_recovery", "ota_prev", "ota_alarm")


def recover(board=None, log=None, **options):
    """Continue an update that a reset interrupted; called first thing in boot.py.

    Args:
        board: a Board, see ota_ports; None to detect it.
        log: called with each message, one line of text.
        options: ``trial_s``, see ota_replay.recover.

    Returns "idle", "trial" while a release is waiting for confirm(), "incomplete" if not all
    could be put back, or "failed" if the application has to start without recovery.
    """
    # A message that must not be lost is printed if nobody asked for messages.
    say = log or print
    flash = board.roots["flash"] if board else "/flash" if "/flash" in sys.path else ""
    folder = flash + "/.ota"
    if not _exists(folder + "/journal"):
        return "idle"
    options.update(board=board, log=log)
    state = _run_set(folder, say, options)
    if state == "failed" and __name__ != "ota_prev":
        state = _run_previous(say, options)
    if state == "failed":
        _try_again(folder + "/journal", board, say)
    return state


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _run_set(folder, say, options):
    """Run the set's copies in ``folder``, or the set itself; return the state."""
    copied = _exists(folder + "/ota_replay.py") or _exists(folder + "/ota_replay.mpy")
    for place in (folder, None) if copied else (None,):
        loaded = False
        others = _enter(place)
        try:
            # First what needs the most memory in one piece, while there is one.
            __import__("ota_journal")
            module = __import__("ota_replay")
            loaded = True
            return module.recover(**options)
        except Exception as error:
            say("update: recovery failed: {}".format(repr(error)))
            # Without memory for the copies, modules of two releases might be run together.
            if loaded or isinstance(error, MemoryError):
                break
        finally:
            _leave(place, others)
    return "failed"


def _enter(place):
    """Let modules be imported from ``place``; return those that it hides."""
    others = dict(_loaded())
    if place:
        for name in others:
            del sys.modules[name]
        sys.path.insert(0, place)
    return others


def _leave(place, others):
    """Forget what was imported, which frees its memory, and put back ``others``."""
    if place:
        sys.path.remove(place)
    for name, _ in _loaded():
        del sys.modules[name]
    sys.modules.update(others)
    gc.collect()


def _loaded():
    found = []
    for name in sys.modules:
        if name.startswith("ota_") and name not in STAYING:
            found.append((name, sys.modules[name]))
    return found


def _run_previous(say, options):
    """Run the copy of the recovery that is being replaced; it may be of the first edition."""
    try:
        return __import__("ota_prev").recover(**options)
    except ImportError:
        pass  # it isn't being replaced
    except Exception as error:
        say("update: ota_prev failed: {}".format(repr(error)))
    return "failed"


def _try_again(journal, board, say):
    """Note this boot and reset; return if that can't be noted, or has been often enough."""
    try:
        count = _count(journal)
        if count < ATTEMPTS:
            with open(journal, "ab") as notes:
                notes.write(b"\n" + NOTE)
            # What isn't kept would be repeated for ever.
            if _count(journal) > count:
                say("update: no recovery in this boot; reset {}".format(count + 1))
                _reset(board)
    except Exception as error:
        say("update: can't reset: {}".format(repr(error)))
    say("update: not complete, but the application starts")


def _count(journal):
    count = 0
    with open(journal, "rb") as notes:
        for line in notes:
            count += line == NOTE
    return count


def _reset(board):
    if hasattr(os, "sync"):
        os.sync()
    if board:
        board.reset()
    import machine

    machine.reset()
