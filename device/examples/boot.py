# The two lines that every release's boot.py begins with. Mount an SD card before them
# if releases bring files for it.
import ota_boot

ota_boot.run()
