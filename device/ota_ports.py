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


# What set_boot says, from esp_err.h and esp_ota_ops.h of ESP-IDF.
REFUSALS = {
    -261: "the partition table has no slots for updates",
    -5379: "the bootloader finds the image invalid",
}


class Esp32(Board):
    """A stock ESP32, with two OTA slots if its partition table has them.

    Source: "Over The Air Updates (OTA)" in the ESP-IDF Programming Guide.
    """

    takes_firmware = True

    def running_slot(self):
        """Return the label of the running firmware's partition."""
        from esp32 import Partition

        return Partition(Partition.RUNNING).info()[4]

    def boot_slot(self, name):
        """See Board.boot_slot; set_boot validates the image."""
        from esp32 import Partition

        try:
            Partition.find(Partition.TYPE_APP, label=name)[0].set_boot()
        except OSError as error:
            why = REFUSALS.get(error.args[0], "it can't be selected")
            raise OSError("{}: {} ({})".format(name, why, error.args[0]))

    def keep_slot(self):
        """Cancel the bootloader's rollback."""
        from esp32 import Partition

        # Since 1.13; before that the bootloader doesn't roll back by itself either.
        try:
            if hasattr(Partition, "mark_app_valid_cancel_rollback"):
                Partition.mark_app_valid_cancel_rollback()
        except OSError:
            pass  # an image in the factory partition needs no confirmation


class Pycom(Board):
    """A Pycom board: two slots, and a bootloader that never rolls back by itself."""

    takes_firmware = True

    def running_slot(self):
        """Return "Factory" or "ota_0"."""
        import pycom

        return pycom.bootmgr()[0]

    def boot_slot(self, name):
        """See Board.boot_slot; resets at once."""
        import pycom

        chosen = pycom.FACTORY if name == "Factory" else pycom.OTA_0
        try:
            pycom.bootmgr(boot_partition=chosen, reset=True)
        except ValueError as error:
            raise OSError(str(error))

    def alarm(self, delay_s, callback):
        """See Board.alarm."""
        from machine import Timer
        from ota_alarm import ALARMS

        ALARMS.append(Timer.Alarm(lambda alarm: callback(), delay_s))


def find_board():
    """Detect the board and return its boot-time part."""
    try:
        import pycom  # noqa: F401

        return Pycom()
    except ImportError:
        pass
    try:
        import esp32  # noqa: F401

        return Esp32()
    except ImportError:
        return Board()
