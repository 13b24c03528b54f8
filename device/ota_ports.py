"""What a boot needs of each kind of board; part of recovery, see ota_recovery."""

import os
import sys

from ota_files import NONE


class Board:
    """A MicroPython board that updates files only; the interface of all boards.

    ``roots`` maps the roots of a release's paths to paths on the device; ``takes_firmware``
    tells whether firmware can be updated.
    """

    takes_firmware = False
    # Whether the bootloader may go back by itself from firmware that isn't kept.
    goes_back = False

    def __init__(self):
        # Not decided by whether a folder /flash exists: an application may create one.
        self.roots = {"flash": "/flash" if "/flash" in sys.path else "", "sd": "/sd"}

    def running_slot(self):
        """Return the name of the slot of the running firmware."""
        return NONE

    def boot_slot(self, name):
        """Select the slot for the next boot; may reset at once. OSError if that fails.

        Args:
            name: of the slot.
        """

    def keep_slot(self):
        """Tell the bootloader that the running firmware works."""

    def feed_watchdog(self):
        """Do nothing; called regularly during an update, even while waiting for data."""

    def sync(self):
        """Flush everything written to flash."""
        if hasattr(os, "sync"):
            os.sync()

    def reset(self):
        """Reset the device; does not return."""
        import machine

        machine.reset()

    def alarm(self, delay_s, callback):
        """Call a function after a delay, whatever the application is doing then.

        Args:
            delay_s: delay in seconds.
            callback: function without arguments.
        """
        from ota_alarm import start_timer

        start_timer(delay_s, callback)


def has(name):
    """Return whether the firmware has a module.

    Args:
        name: of the module.
    """
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def find_board():
    """Detect the board and return its boot-time part.

    ImportError if that is missing: without it, recovery would forget the firmware.
    """
    if has("pycom"):
        from ota_port_pycom import Pycom

        return Pycom()
    if has("esp32"):
        from ota_port_esp32 import Esp32

        return Esp32()
    return Board()
