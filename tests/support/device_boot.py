"""One boot of a Linux device, under CPython or MicroPython; what it does comes as words.

    device_boot.py DEVICE_LIBRARY FOLDER TRANSPORT PORT ACTION [NAME=VALUE...]

Prints a line for each thing that happens; see tests.support.device for the other side.
"""

import os
import sys

sys.path.insert(0, sys.argv[1])

import socket

import ota_recovery
from OTA import FTPOTA, WiFiOTA
from ota_errors import OTAError
from ota_linux import LinuxBoard

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from typing import Any

# A port's TimeoutError is no OSError everywhere.
WIFI_ERRORS = {"OSError": OSError, "RuntimeError": RuntimeError}


class Reset(BaseException):
    pass


class Resolver:
    """Stands for the module socket: a name, ``ota.test``, with several IPv4 addresses."""

    def __init__(self, addresses: str) -> None:
        self.addresses = addresses.split(",")
        self.socket = socket.socket

    def getaddrinfo(self, host: str, port: int) -> "list[Any]":
        names = self.addresses if host == "ota.test" else [host]
        return [found for name in names for found in socket.getaddrinfo(name, port)]


def reset() -> None:
    raise Reset


def log(message: str) -> None:
    print("log", message)


def progress(done_bytes: int, total_bytes: int, what: str) -> None:
    print("progress", done_bytes, total_bytes, what)


class QuickBoard(LinuxBoard):
    """Waits so shortly that a test can wait for all of it."""

    wifi_error = None
    fed = 0

    def feed_watchdog(self) -> None:
        self.fed += 1

    def connect_wifi(self, ssid: str, password: str, timeout_s: int) -> None:
        if self.wifi_error:
            raise WIFI_ERRORS[self.wifi_error](f"no {ssid} in reach")

    def sleep_ms(self, ms: int) -> None:
        log(f"waits {ms} ms")


def options(words: tuple[str, ...]) -> "dict[str, Any]":
    found: dict[str, Any] = {"log": log, "progress": progress}
    for word in words:
        name, _, value = word.partition("=")
        found[name] = int(value) if value.isdigit() else value
    return found


def main(folder: str, transport: str, port: str, action: str, *words: str) -> None:
    settings = options(words)
    host = settings.pop("host", "127.0.0.1")
    if "addresses" in settings:
        modules: dict[str, Any] = sys.modules
        modules["socket"] = Resolver(settings.pop("addresses"))
    slot_bytes = settings.pop("slot_bytes", 4194304)
    board = QuickBoard(folder, reset, slot_bytes)
    board.wifi_error = settings.pop("wifi_error", None)
    board.takes_firmware = slot_bytes > 0
    print("state", ota_recovery.recover(board, log))
    transports = {"http": WiFiOTA, "ftp": FTPOTA}
    ota = transports[transport]("network", "secret", host, int(port), board=board, **settings)
    try:
        if action != "nothing":
            print("result", getattr(ota, action)())
    finally:
        print("fed", board.fed)
    print("outcome", ota.outcome())
    print("versions", ota.versions())
    print("slot", board.running_slot())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


open_before = open_descriptors()
try:
    main(*sys.argv[2:])
except Reset:
    print("reset")
except OTAError as error:
    # Here the error still holds what a path has forgotten to close.
    print("error", type(error).__name__, error)
    print("left_open", open_descriptors() - open_before)
