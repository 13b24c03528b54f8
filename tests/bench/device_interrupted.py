"""Write the journal of an update, as if the power failed right after it.

device_interrupted.py LIBRARY FOLDER PORT
"""

import contextlib
import sys

sys.path.insert(0, sys.argv[1])

import ota_replay
from OTA import WiFiOTA
from ota_linux import LinuxBoard


class PowerCut(BaseException):
    pass


def cut(*words: object) -> None:
    raise PowerCut


ota_replay.Recovery = cut
with contextlib.suppress(PowerCut):
    WiFiOTA("", "", "127.0.0.1", int(sys.argv[3]), board=LinuxBoard(sys.argv[2], cut)).update()
