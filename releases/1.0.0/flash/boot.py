# Runs first after each reset. Releases have files for the card, so it is mounted before the
# two lines of the update library.
import os

import machine

try:
    # Pycom's name for it is SD.
    card = machine.SD() if hasattr(machine, "SD") else machine.SDCard()
    os.mount(card, "/sd")
except Exception as error:  # the two lines must run whatever happens
    print("no card:", repr(error))

import ota_boot

ota_boot.run()
