"""Runs under MicroPython: import the library and update once, and say what that took.

device_update.py LIBRARY ONLY_IMPORT|FOLDER [TRANSPORT PORT]
"""

import gc
import sys

sys.path.insert(0, sys.argv[1])

gc.collect()
before = gc.mem_alloc()
import OTA  # noqa: E402

gc.collect()
imported = gc.mem_alloc()
print("import", imported - before, before)


class Reset(BaseException):
    pass


def reset():
    raise Reset


class Peak:
    """The most that lived at any look: while the manifest is read, and while files are."""

    def __init__(self):
        self.bytes = 0
        self._looks = 0

    def look(self, *_):
        gc.collect()
        self.bytes = max(self.bytes, gc.mem_alloc())

    def look_at_times(self):
        self._looks += 1
        if self._looks % 8 == 1:
            self.look()


class Watched:
    """A stream that has the peak looked at."""

    def __init__(self, stream, peak):
        self._stream = stream
        self._peak = peak
        self.close = stream.close

    def readinto(self, buffer):
        self._peak.look_at_times()
        return self._stream.readinto(buffer)


def main(folder, transport, port):
    from ota_linux import LinuxBoard

    peak = Peak()
    base = OTA.WiFiOTA if transport == "http" else OTA.FTPOTA

    class Updating(base):
        def open(self, path, offset):
            stream = super().open(path, offset)
            return Watched(stream, peak) if path.startswith("/manifest") else stream

    board = LinuxBoard(folder, reset)
    ota = Updating("network", "secret", "127.0.0.1", int(port), board=board, progress=peak.look)
    try:
        ota.update()
    except Reset:
        print("live", peak.bytes - imported)


if sys.argv[2] != "ONLY_IMPORT":
    main(*sys.argv[2:5])
