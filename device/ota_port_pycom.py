"""What a boot needs of a Pycom board; part of recovery, see ota_recovery."""

from ota_ports import Board


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
