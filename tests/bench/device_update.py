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


def main(folder, transport, port):
    from ota_linux import LinuxBoard

    peak = [0]

    def progress(done_bytes, total_bytes, what):
        gc.collect()
        peak[0] = max(peak[0], gc.mem_alloc())

    make = OTA.WiFiOTA if transport == "http" else OTA.FTPOTA
    board = LinuxBoard(folder, reset)
    ota = make("network", "secret", "127.0.0.1", int(port), board=board, progress=progress)
    try:
        ota.update()
    except Reset:
        print("live", peak[0] - imported)


if sys.argv[2] != "ONLY_IMPORT":
    main(*sys.argv[2:5])
