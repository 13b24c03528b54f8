# main.py of a stock ESP32 that asks for an update every hour.
import time

from OTA import WiFiOTA
from ota_errors import OTAError

PERIOD_S = 3600

ota = WiFiOTA("workshop", "secret", "ota.local", 8000, log=print)
while True:
    try:
        ota.connect()
        # On the network: what this release has to be able to do. Now it may stay.
        ota.confirm()
        ota.update()  # resets if there was something to install
    except OTAError as error:
        print("no update:", error)
    time.sleep(PERIOD_S)
