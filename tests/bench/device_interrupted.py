"""Write the journal of an update, as if the power failed right after it.

device_interrupted.py LIBRARY FOLDER PORT
"""

import contextlib
import sys

sys.path.insert(0, sys.argv[1])

from OTA import WiFiOTA
from ota_linux import LinuxBoard


class PowerCut(BaseException):
    pass


class InterruptedOTA(WiFiOTA):
    def _prepare(self, again: bool, repair: bool) -> None:
        super()._prepare(again, repair)
        raise PowerCut


board = LinuxBoard(sys.argv[2], reset=None)
with contextlib.suppress(PowerCut):
    InterruptedOTA("", "", "127.0.0.1", int(sys.argv[3]), board=board).update()
