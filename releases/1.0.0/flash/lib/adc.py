# The voltage at a pin. Gone in 1.0.1, where the sensor sets its channel up only once.
import machine


def read_millivolts(pin):
    if hasattr(machine.ADC, "channel"):  # Pycom
        return machine.ADC().channel(pin=pin).voltage()
    return machine.ADC(machine.Pin(pin)).read_uv() // 1000
