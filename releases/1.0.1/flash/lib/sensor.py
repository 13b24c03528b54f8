# An analogue temperature sensor: 10 mV for each degree, 500 mV at 0 degrees.
import machine

try:
    import json
except ImportError:
    import ujson as json

OFFSET_MV = 500
MV_PER_DEGREE = 10


class Sensor:
    def __init__(self, pin, calibration):
        self.read_millivolts = millivolts_at(pin)
        self.correction_mv = correction_mv(pin, calibration)

    def read_celsius(self):
        return (self.read_millivolts() + self.correction_mv - OFFSET_MV) / MV_PER_DEGREE


def millivolts_at(pin):
    if hasattr(machine.ADC, "channel"):  # Pycom
        return machine.ADC().channel(pin=pin).voltage
    channel = machine.ADC(machine.Pin(pin))
    return lambda: channel.read_uv() // 1000


def correction_mv(pin, calibration):
    try:
        with open(calibration) as f:
            return json.load(f).get(str(pin), 0)
    except OSError:
        return 0  # a board without a card
