# The two lines at the beginning of every release's boot.py. Mount the SD card before them
# if releases have files for it.
import ota_boot

ota_boot.run()
