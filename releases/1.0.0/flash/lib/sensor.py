# An analogue temperature sensor: 10 mV for each degree, 500 mV at 0 degrees.
from adc import read_millivolts

OFFSET_MV = 500
MV_PER_DEGREE = 10


class Sensor:
    def __init__(self, pin):
        self.pin = pin

    def read_celsius(self):
        return (read_millivolts(self.pin) - OFFSET_MV) / MV_PER_DEGREE
