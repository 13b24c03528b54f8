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
        self.channel = machine.ADC().channel(pin=pin)
        with open(calibration) as f:
            self.correction_mv = json.load(f)[pin]

    def read_celsius(self):
        reading_mv = self.channel.voltage() + self.correction_mv
        return (reading_mv - OFFSET_MV) / MV_PER_DEGREE
