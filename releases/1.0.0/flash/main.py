# Reads the sensor once a minute, prints what it read, and looks for an update every hour.
import time

import machine
from ota_errors import OTAError
from sensor import Sensor
from settings import SENSOR_PIN, make_ota

PERIOD_S = 60
READINGS_BETWEEN_UPDATES = 60


def look_for_update(ota):
    # Returns whether the server could be asked.
    try:
        ota.connect()
        # The sensor and the network work, which is all that this release must prove: keep it.
        ota.confirm()
        ota.update()  # resets if there was something to install
    except OTAError as error:
        print("no update:", error)
        return False
    return True


def main():
    sensor = Sensor(pin=SENSOR_PIN)
    ota = make_ota()
    readings = 1
    while True:
        for _ in range(readings):
            print("{:.1f} C".format(sensor.read_celsius()))
            time.sleep(PERIOD_S)
        # Retry soon after a failure: a release on trial has only an hour.
        readings = READINGS_BETWEEN_UPDATES if look_for_update(ota) else 1


try:
    main()
except Exception as error:
    # Nobody is there to press a button. A release on trial that ends up here is rolled back.
    print("failed:", repr(error))
    time.sleep(PERIOD_S)
    machine.reset()
