"""What a boot needs of an ESP32; part of recovery, see ota_recovery."""

from ota_ports import Board

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
    goes_back = True

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
