"""Looks at firmware before it gets into a slot; loaded only while some is downloaded.

Source: "App Image Format" and "Partition Tables" in the ESP-IDF Programming Guide.
"""

from ota_errors import FirmwareError

MAGIC = 0xE9
CHIP_ID_AT = 12
# The table lies at 0x8000 of the flash. Images for the serial port begin at 0, or at 0x1000.
TABLE_PLACES = (0x7000, 0x8000)
ROW_BYTES = 32
ROW = b"\xaa\x50"
AFTER_ROWS = (ROW, b"\xeb\xeb", b"\xff\xff")


def check_part(data, at, running=None):
    """Raise FirmwareError unless ``data`` may be part of an image for this board.

    Args:
        data: a block, or what a write brings.
        at: its position in the image in bytes.
        running: the first bytes of the running image, None if they can't be read.
    """
    if at == 0:
        _check_start(data, running)
    elif at in TABLE_PLACES and bytes(data[:2]) == ROW:
        if bytes(data[ROW_BYTES : ROW_BYTES + 2]) in AFTER_ROWS:
            raise FirmwareError(
                "the firmware is an image of the whole flash, with a partition table, for the "
                "serial port: build the application image alone"
            )


def _check_start(data, running):
    if data[0] != MAGIC:
        raise FirmwareError("the firmware is not an application image: its first byte isn't 0xE9")
    if running and running[0] == MAGIC and _chip_id(data) != _chip_id(running):
        raise FirmwareError(
            "the firmware is for chip {}, this is chip {}".format(
                _chip_id(data), _chip_id(running)
            )
        )


def _chip_id(image):
    return int.from_bytes(bytes(image[CHIP_ID_AT : CHIP_ID_AT + 2]), "little")
