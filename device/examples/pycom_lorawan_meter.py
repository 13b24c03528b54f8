# main.py of a Pycom meter (LoPy4, FiPy): readings over LoRaWAN, and updates over Wi-Fi when
# a downlink reports that the vehicle with the access point is near.
import socket
import time

import machine
from network import WLAN, LoRa
from OTA import WiFiOTA
from ota_errors import OTAError

APP_EUI = b"\x70\xb3\xd5\x7e\xd0\x00\x00\x00"
APP_KEY = bytes(16)
PERIOD_S = 60
JOIN_POLL_S = 2.5
UPDATE_NOW = b"\x01\x02\x03"


def join():
    """Join the LoRaWAN network and return a socket for it."""
    lora = LoRa(mode=LoRa.LORAWAN, region=LoRa.EU868)
    lora.join(activation=LoRa.OTAA, auth=(APP_EUI, APP_KEY), timeout=0)
    # However long it takes: boot.py's alarm ends the trial of a release that never joins.
    while not lora.has_joined():
        time.sleep(JOIN_POLL_S)
    link = socket.socket(socket.AF_LORA, socket.SOCK_RAW)
    link.setsockopt(socket.SOL_LORA, socket.SO_DR, 0)
    return link


def exchange(link, reading):
    """Send a reading (16 bits); return the downlink received after it, b"" or None if none."""
    try:
        link.setblocking(True)
        link.send(reading.to_bytes(2, "big"))
        link.setblocking(False)
        return link.recv(64)
    except OSError as error:  # the radio is busy, or the duty cycle is used up
        print("no uplink:", error)


def update(ota):
    """Install a newer release, then switch off the Wi-Fi."""
    try:
        ota.update()  # resets if there was something to install
    except OTAError as error:
        print("no update:", error)
    WLAN(mode=WLAN.STA).deinit()  # the battery has to last


def main():
    """Send a reading every minute and update on request."""
    ota = WiFiOTA("vehicle", "secret of the fleet", "192.168.1.10", 8000, log=print)
    link = join()
    # The network works, which is all this release must prove: keep it.
    ota.confirm()
    while True:
        if exchange(link, machine.ADC().channel(pin="P16").voltage()) == UPDATE_NOW:
            update(ota)
        time.sleep(PERIOD_S)


try:
    main()
except Exception as error:
    # Nobody is there to press a button. A release on trial that ends up here is rolled back.
    print("failed:", repr(error))
    time.sleep(PERIOD_S)
    machine.reset()
