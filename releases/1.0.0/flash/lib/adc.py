# Replaced in 1.0.1, where the sensor reads its channel directly.
import machine


def read_millivolts(pin):
    return machine.ADC().channel(pin=pin).voltage()
