"""Stand-ins, under MicroPython, for what is wired to a board: a sensor and a card."""

import vfs
from board_stand_ins import Clock, Namespace, Reset, must, say

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


class Esp32Timers:
    """``machine.Timer`` of the ESP32 port up to MicroPython 1.24: hardware timers only.

    Timer(n) is timer n & 1 of group n >> 1 & 1, also for -1; one that exists is handed out
    again, and init() replaces what it calls. Read from ports/esp32/machine_timer.c.

    chip: "esp32" has two groups of two; "c3", two of one, where init() of another one raises
    (1.17 to 1.20); "c3-panics" (1.21 to 1.23) resets the board instead; on "panics" and
    "raises", each one does that.
    """

    ONE_SHOT, PERIODIC = 0, 1

    def __init__(self, chip: str) -> None:
        self.chip = chip
        self.made: dict[tuple[int, int], Any] = {}

    def __call__(self, number: int) -> Any:
        place = (number >> 1) & 1, number & 1
        if place not in self.made:
            self.made[place] = Esp32Timer(self, place)
        return self.made[place]

    def has(self, place: tuple[int, int]) -> bool:
        return self.chip == "esp32" or (self.chip.startswith("c3") and place[1] == 0)


class Esp32Timer:
    def __init__(self, chip: Esp32Timers, place: tuple[int, int]) -> None:
        self.chip = chip
        self.place = place
        self.alarm: Any = None

    def init(self, mode: int, period: int, callback: Callable[[Any], None]) -> None:
        if not self.chip.has(self.place):
            if self.chip.chip.endswith("panics"):
                say("panic")
                raise Reset
            raise OSError(-258)
        self.deinit()
        if mode == self.chip.ONE_SHOT:
            self.alarm = Clock.set_alarm(period, callback)

    def deinit(self) -> None:
        if self.alarm:
            self.alarm.cancel()
        self.alarm = None


def card_reader(folder: str, has_card: bool) -> Callable[[], Any]:
    """Return what makes an object for the card, ``folder``, that can be mounted."""

    def card() -> Any:
        if not has_card:
            raise OSError(19)
        return vfs.VfsPosix(folder)

    return card
