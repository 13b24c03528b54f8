# main.py of a stock ESP32 that asks for an update every hour.
import time

import machine
from OTA import WiFiOTA
from ota_errors import OTAError

PERIOD_S = 3600
PAUSE_S = 60


def look_for_update(ota):
    try:
        ota.connect()
        # On the network: what this release has to be able to do. Now it may stay.
        ota.confirm()
        ota.update()  # resets if there was something to install
    except OTAError as error:
        print("no update:", error)
        return False
    return True


def main():
    ota = WiFiOTA("workshop", "secret", "ota.local", 8000, log=print)
    while True:
        # Soon again if it failed: a release on trial has an hour.
        time.sleep(PERIOD_S if look_for_update(ota) else PAUSE_S)


try:
    main()
except Exception as error:
    # Nobody is there to press a button. A release on trial that ends here goes back.
    print("failed:", repr(error))
    time.sleep(PAUSE_S)
    machine.reset()
