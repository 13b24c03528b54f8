# Replaced in 1.0.1, where the sensor reads its channel by itself.
import machine


def read_millivolts(pin):
    return machine.ADC().channel(pin=pin).voltage()
