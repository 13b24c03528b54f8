# main.py of a stock ESP32 that checks for an update every hour.
import time

import machine
from OTA import WiFiOTA
from ota_errors import OTAError

PERIOD_S = 3600
PAUSE_S = 60


def look_for_update(ota):
    """Confirm the running release and install a newer one; return whether that worked."""
    try:
        ota.connect()
        # The network works, which is all this release must prove: keep it.
        ota.confirm()
        ota.update()  # resets if there was something to install
    except OTAError as error:
        print("no update:", error)
        return False
    return True


def main():
    """Check for updates for ever."""
    ota = WiFiOTA("workshop", "secret", "ota.local", 8000, log=print)
    while True:
        # Retry soon after a failure: a release on trial has only an hour.
        time.sleep(PERIOD_S if look_for_update(ota) else PAUSE_S)


try:
    main()
except Exception as error:
    # Nobody is there to press a button. A release on trial that ends up here is rolled back.
    print("failed:", repr(error))
    time.sleep(PAUSE_S)
    machine.reset()
