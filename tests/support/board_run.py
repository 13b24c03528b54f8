"""Runs under MicroPython: one start of a simulated Pycom or ESP32 board, boot.py and main.py.

    board_run.py DEVICE_LIBRARY FOLDER KIND PORT

FOLDER/flash is the flash: /flash on a Pycom, the root on the others. The modules ``pycom``, ``esp32``, ``network``,
``machine``, ``hashlib``, ``socket`` and ``time`` are stand-ins as strict as the boards.
"""

import hashlib
import os
import socket
import sys
import time

import vfs

KIND, PORT = sys.argv[3:5]
# The machine's own files, out of the device's way.
LIBRARY, FOLDER = "/host" + sys.argv[1], "/host" + sys.argv[2]
MOST_UPLINKS = 6
ASK_FOR_UPDATE_AT = 3


class Reset(BaseException):
    pass


class PowerOff(BaseException):
    pass


class Namespace:
    def __init__(self, **members):
        for name in members:
            setattr(self, name, members[name])


def say(*words):
    print("board", *words)


def reset():
    raise Reset


def load(name, default):
    try:
        with open(FOLDER + "/" + name, "rb") as source:
            return source.read()
    except OSError:
        return default


def save(name, data):
    with open(FOLDER + "/" + name, "wb") as target:
        target.write(data)


class PycomChip:
    """As modpycom.c and updater.c of 1.20.2 do it, with its traps turned into failures."""

    FACTORY = 0
    OTA_0 = 1
    NAMES = ("Factory", "ota_0")
    SLOT_BYTES = 2023424

    def __init__(self):
        self.running = load("boot", b"Factory").decode()
        self.image = None
        self.was_finished = False

    def other(self):
        return "ota_0" if self.running == "Factory" else "Factory"

    def ota_start(self):
        assert not self.was_finished, "would write over the running slot"
        self.image = bytearray()

    def ota_write(self, data):
        assert self.image is not None, "would write at address 0"
        assert 0 < len(data) <= 4096, "would write into flash that is not erased"
        self.image.extend(data)
        assert len(self.image) <= self.SLOT_BYTES, "would write into the next partition"
        return len(data)

    def ota_verify(self):
        data = bytes(self.image)
        return data[:1] == b"\xe9" and hashlib.sha256(data[:-32]).digest() == data[-32:]

    def ota_finish(self):
        save(self.other(), self.image)
        save("boot", self.other().encode())
        self.was_finished = True

    def bootmgr(self, boot_partition=None, reset=False):
        if boot_partition is None:
            return (self.running, "LittleFS", "SafeBoot: False", "Status: Ready")
        say("bootmgr", self.NAMES[boot_partition])
        save("boot", self.NAMES[boot_partition].encode())
        raise Reset

    def get_free_heap(self):
        return (60000, 2500000)


class Esp32Partition:
    """As esp32_partition.c does it; files hold the slots."""

    RUNNING = 0
    TYPE_APP = 0
    SLOT_BYTES = 1 << 20
    running = None

    def __init__(self, which=0):
        self.label = self.running

    def get_next_update(self):
        other = Esp32Partition()
        other.label = "ota_1" if self.running == "ota_0" else "ota_0"
        return other

    def info(self):
        return (0, 16, 0x10000, self.SLOT_BYTES, self.label, False)

    def writeblocks(self, block, data):
        assert self.label != self.running and len(data) == 4096
        image = load(self.label, b"")
        save(self.label, image[: block * 4096] + bytes(data))

    def readblocks(self, block, buf):
        buf[:] = load(self.label, b"")[block * 4096 : block * 4096 + len(buf)]

    def set_boot(self):
        if load(self.label, b"\xe9")[:1] != b"\xe9":
            raise OSError(-5379)
        say("set_boot", self.label)
        save("boot", self.label.encode())

    @staticmethod
    def find(kind, label=None):
        found = Esp32Partition()
        found.label = label
        return [found]

    @staticmethod
    def mark_app_valid_cancel_rollback():
        say("valid")


class OneHash:
    """Pycom has one hash at a time, and keeps it until it is digested."""

    active = False

    def __init__(self, data=b""):
        if OneHash.active:
            raise OSError("only one active hash operation")
        OneHash.active = True
        self.hash = hashlib.sha256(data)

    def update(self, data):
        self.hash.update(data)

    def digest(self):
        OneHash.active = False
        return self.hash.digest()


class StockWLAN:
    connected = False  # of the chip, whichever object speaks for it

    def __init__(self, interface):
        assert interface == "station"

    def active(self, on):
        assert on

    def connect(self, ssid, password):
        say("wifi", ssid, password)
        assert not StockWLAN.connected
        StockWLAN.connected = ssid

    def isconnected(self):
        return bool(self.connected)

    def config(self, name):
        assert name == "essid"
        return self.connected

    def disconnect(self):
        StockWLAN.connected = False


class PycomWLAN:
    STA, WPA2 = 1, 3
    connected = False

    def __init__(self, mode):
        assert mode == self.STA

    def connect(self, ssid, auth, timeout):
        assert auth[0] == self.WPA2 and timeout > 1000
        say("wifi", ssid, auth[1])
        PycomWLAN.connected = ssid

    def isconnected(self):
        return self.connected

    def ssid(self):
        return self.connected


class LoRa:
    LORAWAN, EU868, OTAA = 1, 5, 0

    def __init__(self, mode, region):
        assert (mode, region) == (self.LORAWAN, self.EU868)
        self.asked = 0

    def join(self, activation, auth, timeout):
        assert activation == self.OTAA and len(auth[0]) == 8 and len(auth[1]) == 16
        say("join")

    def has_joined(self):
        self.asked += 1
        return self.asked > 2


class LoRaSocket:
    uplinks = 0

    def setsockopt(self, level, name, value):
        pass

    def setblocking(self, blocking):
        pass

    def send(self, data):
        assert len(data) == 2
        LoRaSocket.uplinks += 1
        say("uplink")
        if LoRaSocket.uplinks == MOST_UPLINKS:
            raise PowerOff

    def recv(self, limit):
        return b"\x01\x02\x03" if LoRaSocket.uplinks == ASK_FOR_UPDATE_AT else b""


def make_socket(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    return LoRaSocket() if family == "lora" else socket.socket(family, kind)


def address(host, port):
    # Wherever the example's server is said to be, it is here.
    return socket.getaddrinfo("127.0.0.1", int(PORT))


class Alarm:
    """Both kinds of timer; what was set comes when the application would sleep for good."""

    ONE_SHOT = 0
    callback = None

    def __init__(self, number):
        if number < 0:
            raise ValueError("this chip has no virtual timers")

    def init(self, mode, period, callback):
        assert mode == self.ONE_SHOT and period > 1000
        Alarm.set(callback)

    @staticmethod
    def set(callback, seconds=None):
        say("alarm")
        Alarm.callback = callback

    @staticmethod
    def ring():
        if Alarm.callback:
            say("rings")
            Alarm.callback(None)


class Sleep:
    count = 0

    @staticmethod
    def sleep(seconds):
        Sleep.count += 1
        if Sleep.count > 20:
            Alarm.ring()
            raise PowerOff


def install_stand_ins():
    modules = sys.modules
    channel = Namespace(voltage=lambda: 1234)
    modules["machine"] = Namespace(
        reset=reset,
        ADC=lambda: Namespace(channel=lambda pin: channel),
        Timer=Namespace(Alarm=Alarm.set) if KIND == "pycom" else Alarm,
    )
    modules["time"] = Namespace(
        sleep=Sleep.sleep,
        sleep_ms=lambda ms: Sleep.sleep(0),
        ticks_ms=time.ticks_ms,
        ticks_diff=time.ticks_diff,
    )
    modules["socket"] = Namespace(
        AF_LORA="lora", SOCK_RAW=3, SOL_LORA=1, SO_DR=2, socket=make_socket, getaddrinfo=address
    )
    if KIND == "pycom":
        import binascii

        modules["ubinascii"] = binascii
        modules["pycom"] = PycomChip()
        modules["hashlib"] = Namespace(sha256=OneHash)
        modules["network"] = Namespace(WLAN=PycomWLAN, LoRa=LoRa)
    else:
        modules["network"] = Namespace(WLAN=StockWLAN, STA_IF="station")
        if KIND == "esp32":
            Esp32Partition.running = load("boot", b"ota_0").decode()
            modules["esp32"] = Namespace(Partition=Esp32Partition)


def start():
    flash = "/flash" if KIND == "pycom" else ""
    vfs.mount(vfs.VfsPosix("/"), "/host")
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(sys.argv[2] + "/flash"), flash or "/")
    os.chdir(flash or "/")
    sys.path[:] = ["", flash, flash + "/lib", LIBRARY]
    install_stand_ins()
    for name in ("boot.py", "main.py"):
        with open(flash + "/" + name) as source:
            exec(source.read(), {"__name__": "__main__"})


try:
    start()
except Reset:
    print("reset")
except PowerOff:
    print("power off")
