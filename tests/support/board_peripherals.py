"""Stand-ins, under MicroPython, for what is wired to a board: a sensor and a card."""

import vfs
from board_stand_ins import Namespace, must

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SENSOR_MV = 734
PYCOM_PINS = ("P13", "P14", "P15", "P16", "P17", "P18", "P19", "P20")


class PycomADC:
    """``machine.ADC`` of a Pycom, which knows its pins by name."""

    def channel(self, *, pin: str) -> Any:
        must(pin in PYCOM_PINS, f"an analogue channel at {pin}")
        return Namespace(voltage=lambda: SENSOR_MV)


class Pin:
    """``machine.Pin`` of an ESP32."""

    def __init__(self, number: int) -> None:
        must(isinstance(number, int), f"a pin {number}")
        self.number = number


class StockADC:
    """``machine.ADC`` of an ESP32; only the pins of its first converter work beside Wi-Fi."""

    def __init__(self, pin: Pin) -> None:
        must(32 <= pin.number <= 39, f"a pin without an ADC: {pin.number}")

    def read_uv(self) -> int:
        return SENSOR_MV * 1000 + 499


def card_reader(folder: str, has_card: bool) -> Callable[[], Any]:
    """Return what makes an object for the card, ``folder``, that can be mounted."""

    def card() -> Any:
        if not has_card:
            raise OSError(19)
        return vfs.VfsPosix(folder)

    return card
