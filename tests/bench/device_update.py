"""Runs under MicroPython, in a device's folder: import the library, do one
thing, and say what that took.

    device_update.py LIBRARY LOOK|BARE [ACTION TRANSPORT PORT]

ACTION is a method of OTA. LOOK: collect garbage and look at what lives, whenever the library
opens a file, gets a piece of the manifest or says how far it is. BARE: do nothing of that kind.
All that is needed for it is made before the first look, or taken off again.
"""

import builtins
import gc
import sys

SCRUB_CALLS = 40

sys.path.insert(0, sys.argv[1])


def live():
    scrub(SCRUB_CALLS, None, None, None)
    gc.collect()
    return gc.mem_alloc()


def scrub(calls, a, b, c):
    """Write over what earlier calls left on the stack: a collection takes it for pointers."""
    return calls and scrub(calls - 1, c, a, b)


class Reset(BaseException):
    pass


def reset():
    raise Reset


class Peak:
    """The most that lived at any look."""

    def __init__(self):
        self.bytes = 0
        self.looks = 0
        self.open = open
        self.stream = None
        self.request = None

    def look(self):
        self.bytes = max(self.bytes, live())
        self.looks += 1

    def progress(self, done_bytes, total_bytes, what):
        self.look()

    def open_file(self, path, mode="r"):
        self.look()
        return self.open(path, mode)

    def open_request(self, path, offset):
        stream = self.request(path, offset)
        if "/manifest" not in path:
            return stream
        self.stream = stream
        return self

    # What follows is a stream that has the peak looked at.

    def readinto(self, buffer):
        self.look()
        return self.stream.readinto(buffer)

    def close(self):
        self.stream.close()
        self.stream = None


def run(action, transport, port, looks):
    from ota_linux import LinuxBoard

    kind = OTA.WiFiOTA if transport == "http" else OTA.FTPOTA
    board = LinuxBoard(".", reset)
    # One attempt: what fails for want of memory would fail again.
    ota = kind("network", "secret", "127.0.0.1", int(port), board=board, attempts=1)
    aside = 0
    if looks:
        before = live()
        peak.request = ota.open
        ota.open = peak.open_request
        ota.progress = peak.progress
        aside = live() - before
        builtins.open = peak.open_file
    try:
        getattr(ota, action)()
    except Reset:
        print("reset")
    if looks:
        print("live", peak.bytes - imported - aside, peak.looks)


peak = Peak()
looks = sys.argv[2] == "LOOK"
if looks:
    builtins.open = peak.open_file  # makes room for it
    builtins.open = peak.open
imported = 0
before = live()
import OTA  # noqa: E402

if looks:
    imported = live()
    print("import", imported - before, before)
if sys.argv[3:]:
    run(sys.argv[3], sys.argv[4], sys.argv[5], looks)
