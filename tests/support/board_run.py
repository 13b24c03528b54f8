"""Runs under MicroPython: one start of a simulated board, from boot.py to the end of main.py.

    board_run.py DEVICE_LIBRARY FOLDER KIND PORT [NAME=VALUE...]

KIND: pycom, esp32, rp2. FOLDER/flash is the flash: /flash on a Pycom, the root on the others;
beside it lies the rest of the chip, and FOLDER/sd, the card, for whoever mounts it. The
names, with their defaults, are in SETTINGS.
"""

import hashlib
import os
import sys

import board_peripherals as wired
import board_repl
import board_stand_ins as chip
import vfs

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from typing import Any

# The machine's own files, out of the device's way.
HOST = "/host"
SETTINGS = {
    "minutes": "10",  # how long the run lasts, in the board's own time
    "slots": "ota_0,ota_1",  # of the partition table of an ESP32
    "wifi": "there",  # see Air
    "lora": "there",  # or "absent"
    "uplink_fails": "0",  # the number of the uplink that does
    "ram": "external",  # or "none": a Pycom with 4 MB of flash
    "bootmgr": "works",  # or "fails"
    "timers": "virtual",  # of an ESP32; or see board_peripherals.Esp32Timers
    "card": "there",  # or "absent"
    "usb": "absent",  # or "there": a computer is at the prompt, and main.py does not run
}


def install_common(modules: dict[str, Any], settings: dict[str, str], port: int) -> None:
    modules["machine"] = chip.Namespace(reset=chip.reset, WDT=chip.WDT)
    modules["time"] = chip.Namespace(
        sleep=chip.Clock.sleep,
        sleep_ms=chip.Clock.sleep_ms,
        ticks_ms=chip.Clock.now_ms,
        ticks_diff=lambda end, start: end - start,
    )
    modules["select"] = chip.Namespace(poll=chip.Poll, POLLIN=1)
    modules["socket"] = chip.Namespace(socket=chip.make_socket, getaddrinfo=chip.resolver(port))
    modules["hashlib"] = chip.Namespace(sha256=chip.OneHash)


def install_pycom(modules: dict[str, Any], settings: dict[str, str]) -> None:
    modules["machine"].ADC = wired.PycomADC
    modules["machine"].SD = card_reader(settings)
    modules["machine"].Timer = chip.PycomTimer
    for name, value in (("AF_LORA", "lora"), ("SOCK_RAW", 3), ("SOL_LORA", 1), ("SO_DR", 2)):
        setattr(modules["socket"], name, value)
    chip.LoRa.reaches_network = settings["lora"] == "there"
    chip.LoRaSocket.fails_at = int(settings["uplink_fails"])
    modules["network"] = chip.Namespace(WLAN=chip.PycomWLAN, LoRa=chip.LoRa)
    modules["pycom"] = chip.PycomChip(settings["ram"] != "none", settings["bootmgr"] == "fails")
    print("slot", modules["pycom"].running)


def install_esp32(modules: dict[str, Any], settings: dict[str, str]) -> None:
    install_stock(modules)
    modules["machine"].ADC = wired.StockADC
    modules["machine"].Pin = wired.Pin
    modules["machine"].SDCard = card_reader(settings)
    chip.StockTimer.numbers = (-1, 0, 1, 2, 3)
    if settings["timers"] != "virtual":
        modules["machine"].Timer = wired.Esp32Timers(settings["timers"])
    chip.Partition.start(settings["slots"].split(","))
    modules["esp32"] = chip.Namespace(Partition=chip.Partition)
    print("slot", chip.Partition.running)


def install_stock(modules: dict[str, Any]) -> None:
    chip.StockTimer.numbers = (-1,)
    modules["machine"].Timer = chip.StockTimer
    modules["network"] = chip.Namespace(WLAN=chip.StockWLAN, STA_IF="station")


def card_reader(settings: dict[str, str]) -> Any:
    folder = chip.Disk.folder[len(HOST) :]
    return wired.card_reader(folder + "/sd", settings["card"] == "there")


def install_stand_ins(kind: str, port: int, settings: dict[str, str]) -> None:
    install_common(sys.modules, settings, port)
    if kind == "pycom":
        install_pycom(sys.modules, settings)
    elif kind == "esp32":
        install_esp32(sys.modules, settings)
    else:
        install_stock(sys.modules)
    chip.Clock.limit_ms = int(settings["minutes"]) * 60000
    chip.Air.start(settings["wifi"])


def renaming_os(folder: str, flash: str) -> chip.Namespace:
    """Return the module os with a rename that works: that of a folder loses its first path."""

    def on_host(path: str) -> str:
        if path.startswith("/sd/"):
            return HOST + folder + path
        return HOST + folder + "/flash" + path[len(flash) :]

    members = {name: getattr(os, name) for name in dir(os)}
    members["rename"] = lambda old, new: os.rename(on_host(old), on_host(new))
    return chip.Namespace(**members)


def mount(library: str, folder: str, flash: str) -> None:
    vfs.mount(vfs.VfsPosix(), HOST)
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(folder + "/flash"), flash or "/")
    sys.modules["os"] = renaming_os(folder, flash)
    os.chdir(flash or "/")
    chip.Disk.folder = HOST + folder
    sys.path[:] = ["", flash, flash + "/lib", HOST + library]


def start(library: str, folder: str, kind: str, port: str, *words: str) -> None:
    settings = dict(SETTINGS)
    for word in words:
        name, value = word.split("=", 1)
        assert name in SETTINGS, name
        settings[name] = value
    flash = "/flash" if kind == "pycom" else ""
    mount(library, folder, flash)
    install_stand_ins(kind, int(port), settings)
    if settings["usb"] == "there":
        if kind != "pycom":
            sys.modules["hashlib"] = hashlib
        board_repl.Prompt(lambda: run(flash + "/boot.py")).serve()
        return
    for name in ("boot.py", "main.py"):
        run(flash + "/" + name)
    # At the prompt.
    chip.Clock.idle()


def run(path: str) -> None:
    """Run one of the two files; as on a board, an exception ends it and nothing else."""
    try:
        with open(path) as source:
            exec(source.read(), {"__name__": "__main__"})
    except Exception as error:
        print("raised", path, repr(error))


try:
    start(*sys.argv[1:])
except chip.Reset:
    print("reset")
except chip.PowerOff:
    print("power off")
except chip.Violation:
    pass  # told below, with those that something else has hidden
if chip.OneHash.is_active:
    chip.Violation.kept.append("a hash was left undigested, and blocks the next for ever")
for violation in chip.Violation.kept:
    print("violation", violation)
sys.exit(len(chip.Violation.kept))
