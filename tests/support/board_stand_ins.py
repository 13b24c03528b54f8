"""Stand-ins, under MicroPython, for what a Pycom, an ESP32 or an RP2 brings: as strict as they.

What would silently do harm on a board, such as a write into the running slot, is a
Violation here. Time is the board's own: a sleep takes none of ours, and has the alarms ring
that come due in it. Read from modpycom.c, moduhashlib.c, modwlan.c, modusocket.c and
machtimer_alarm.c of Pycom's 1.20.2, from esp32_partition.c and network_wlan.c of
MicroPython, and from esp_ota_ops.c and bootloader_common.c of ESP-IDF.
"""

import hashlib
import json
import select
import socket
import time

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BLOCK_BYTES = 4096
NETWORKS = {"vehicle": "secret of the fleet", "workshop": "secret"}
GUEST = "guest"
JOIN_MS = 2500
LORA_JOIN_MS = 7000
MOST_SENT_BYTES = 7
# Where the server's passive ports begin.
FIRST_DATA_PORT = 49152


class Reset(BaseException):
    """The board starts anew."""


class PowerOff(BaseException):
    """The run has lasted as long as it was to."""


class Violation(BaseException):
    """Something that no board forgives; kept, since a ``finally`` may hide it."""

    kept: list[str] = []

    def __init__(self, what: str) -> None:
        super().__init__(what)
        Violation.kept.append(what)


class PycomTimeout(Exception):
    """TimeoutError, which is no OSError everywhere."""


class Namespace:
    """A module, or anything else with members."""

    def __init__(self, **members: object) -> None:
        for name in members:
            setattr(self, name, members[name])


def say(*words: object) -> None:
    print("board", *words)


def must(holds: object, what: str) -> None:
    if not holds:
        raise Violation(what)


def reset() -> None:
    raise Reset


class Disk:
    """The files that stand for what is on the chip beside the file system."""

    folder = ""

    @staticmethod
    def load(name: str) -> bytes:
        with open(Disk.folder + "/" + name, "rb") as source:
            return source.read()

    @staticmethod
    def save(name: str, data: bytes | bytearray) -> None:
        with open(Disk.folder + "/" + name, "wb") as target:
            target.write(data)


class Clock:
    """The board's time since its start; sleeping makes it pass."""

    slept_ms = 0
    limit_ms = 0
    alarms: list[tuple[int, int, Callable[[Any], None]]] = []
    start_ms = time.ticks_ms()

    @staticmethod
    def now_ms() -> int:
        return time.ticks_diff(time.ticks_ms(), Clock.start_ms) + Clock.slept_ms

    @staticmethod
    def sleep_ms(ms: int) -> None:
        end_ms = Clock.now_ms() + ms
        due = sorted(alarm for alarm in Clock.alarms if alarm[0] <= end_ms)
        for at_ms, _, callback in due:
            Clock._pass_until(at_ms)
            Clock.alarms.remove((at_ms, _, callback))
            say("rings")
            callback(None)
        Clock._pass_until(end_ms)

    @staticmethod
    def sleep(seconds: float) -> None:
        Clock.sleep_ms(int(seconds * 1000))

    @staticmethod
    def idle() -> None:
        """The application has ended: the prompt waits, and alarms ring."""
        while True:
            Clock.sleep_ms(60000)

    @staticmethod
    def set_alarm(delay_ms: int, callback: Callable[[Any], None]) -> "Alarm":
        must(delay_ms > 0, "an alarm without a time")
        say("alarm")
        return Alarm((Clock.now_ms() + delay_ms, len(Clock.alarms), callback))

    @staticmethod
    def _pass_until(end_ms: int) -> None:
        Clock.slept_ms += max(0, end_ms - Clock.now_ms())
        if Clock.now_ms() >= Clock.limit_ms:
            raise PowerOff


class Alarm:
    """One that is set, as Pycom's ``Timer.Alarm`` returns it."""

    def __init__(self, entry: tuple[int, int, Callable[[Any], None]]) -> None:
        self._entry = entry
        Clock.alarms.append(entry)

    def cancel(self) -> None:
        say("cancelled")
        if self._entry in Clock.alarms:
            Clock.alarms.remove(self._entry)


class WDT:
    """``machine.WDT``, which nothing stops."""

    def __init__(self, timeout: int) -> None:
        self._timeout_ms = timeout
        self._alarm: tuple[int, int, Callable[[Any], None]] | None = None
        self.feed()

    def feed(self) -> None:
        if self._alarm:
            Clock.alarms.remove(self._alarm)
        self._alarm = (Clock.now_ms() + self._timeout_ms, len(Clock.alarms), self._bite)
        Clock.alarms.append(self._alarm)

    def _bite(self, alarm: object) -> None:
        say("watchdog")
        raise Reset


class PycomTimer:
    """``machine.Timer`` of a Pycom, which only holds the class of its alarms."""

    @staticmethod
    def Alarm(handler: Callable[[Any], None], s: int) -> Alarm:
        return Clock.set_alarm(s * 1000, handler)


class StockTimer:
    """``machine.Timer`` of the others; ``numbers`` are those that the chip has."""

    ONE_SHOT = 0
    numbers: tuple[int, ...] = ()

    def __init__(self, number: int) -> None:
        if number not in self.numbers:
            raise ValueError("invalid Timer number")

    def init(self, mode: int, period: int, callback: Callable[[Any], None]) -> None:
        must(mode == self.ONE_SHOT, "a timer that goes on")
        self._alarm = Clock.set_alarm(period, callback)

    def deinit(self) -> None:
        self._alarm.cancel()


def image_is_valid(data: bytes | bytearray | memoryview) -> bool:
    """Say what a bootloader says: magic byte, segments, checksum, appended SHA-256."""
    if len(data) < 24 or data[0] != 0xE9:
        return False
    at = 24
    checksum = 0xEF
    for _ in range(data[1]):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            return False
        for byte in memoryview(data)[at + 8 : at + 8 + size]:
            checksum ^= byte
        at += 8 + size
    at += 15 - at % 16
    if data[at : at + 1] != bytes((checksum,)):
        return False
    digest = hashlib.sha256(memoryview(data)[: at + 1]).digest()
    return not data[23] or digest == data[at + 1 : at + 33]


class PycomChip:
    """``pycom``, as modpycom.c and updater.c do it, and the bootloader below it."""

    FACTORY = 0
    OTA_0 = 1
    NAMES = ("Factory", "ota_0")

    def __init__(self, has_ram: bool, bootmgr_fails: bool) -> None:
        self.has_ram = has_ram
        self.bootmgr_fails = bootmgr_fails
        self.slot_bytes = 2023424 if has_ram else 1757184
        self.running = self._start()
        self.image: Any = None  # a bytearray, once it is begun
        self.was_finished = False

    def _start(self) -> str:
        """Check the chosen image once, right after it was chosen; never again after that."""
        chosen, previous, status = Disk.load("boot").decode().split()
        if status == "check" and not image_is_valid(Disk.load(chosen)):
            chosen = previous
        self._choose(chosen, previous, "ready")
        return chosen

    def _choose(self, chosen: str, previous: str, status: str) -> None:
        Disk.save("boot", " ".join((chosen, previous, status)).encode())

    def other(self) -> str:
        return "ota_0" if self.running == "Factory" else "Factory"

    def ota_start(self) -> None:
        must(not self.was_finished, "ota_start writes over the running slot")
        self.image = bytearray()

    def ota_write(self, data: bytes | bytearray | memoryview) -> int:
        must(self.image is not None, "ota_write writes at address 0")
        must(0 < len(data) <= BLOCK_BYTES, "ota_write writes into flash that is not erased")
        self.image.extend(data)
        must(len(self.image) <= self.slot_bytes, "ota_write writes into the next partition")
        return len(data)

    def ota_verify(self) -> bool:
        return image_is_valid(self.image)

    def ota_finish(self) -> None:
        Disk.save(self.other(), self.image)
        self._choose(self.other(), self.running, "check")
        self.was_finished = True

    def ota_slot(self) -> int:
        return 0x210000 if self.running == "Factory" else 0x10000

    def bootmgr(
        self, boot_partition: int | None = None, reset: bool = False
    ) -> tuple[str, str, str, str]:
        if boot_partition is None:
            return (self.running, "LittleFS", "SafeBoot: False", "Status: Ready")
        if self.bootmgr_fails:
            raise ValueError("invalid argument(s) value")
        must(reset, "bootmgr without a reset: bootmgr() still tells the old slot")
        say("bootmgr", self.NAMES[boot_partition])
        self._choose(self.NAMES[boot_partition], self.running, "check")
        raise Reset

    def get_free_heap(self) -> tuple[int, int | str]:
        return (60000, 2500000 if self.has_ram else "NO_EXT_RAM")


class OTAData:
    """The two records that say which slot boots, and the bootloader that reads them.

    A record: [sequence number, state]; the number says the slot, and the higher one wins.
    """

    NEW, PENDING, VALID, ABORTED = "new", "pending", "valid", "aborted"
    slots: list[str] = []  # ota_0, ota_1, as far as there are any
    records: list[Any] = []

    @classmethod
    def start(cls, labels: list[str]) -> str:
        """Choose as the bootloader does: what was not confirmed since its start is out."""
        cls.slots = [label for label in labels if label.startswith("ota_")]
        cls.records = json.loads(Disk.load("otadata"))
        for record in cls.records:
            if record[1] == cls.PENDING:
                record[1] = cls.ABORTED
        active = cls.active()
        if active is None:
            chosen = labels[0]
        else:
            chosen = cls.slots[(active[0] - 1) % len(cls.slots)]
            if active[1] == cls.NEW:
                active[1] = cls.PENDING
        cls.save()
        return chosen

    @classmethod
    def active(cls) -> list[Any] | None:
        usable = [one for one in cls.records if one[0] and one[1] != cls.ABORTED]
        return max(usable) if usable else None

    @classmethod
    def choose(cls, label: str) -> None:
        if label == "factory":
            cls.records = [[0, ""], [0, ""]]
        else:
            active = cls.active()
            place = 1 - cls.records.index(active) if active else 0
            sequence = active[0] + 1 if active else 1
            while cls.slots[(sequence - 1) % len(cls.slots)] != label:
                sequence += 1
            cls.records[place] = [sequence, cls.NEW]
        cls.save()

    @classmethod
    def confirm(cls) -> None:
        active = cls.active()
        if active is None:
            raise OSError(1)
        active[1] = cls.VALID
        cls.save()

    @classmethod
    def save(cls) -> None:
        Disk.save("otadata", json.dumps(cls.records).encode())


class Partition:
    """``esp32.Partition``; files hold the slots."""

    BOOT, RUNNING = 0, 1
    TYPE_APP, TYPE_DATA = 0, 1
    SLOT_BYTES = 1 << 20
    labels: list[str] = []
    running = ""

    def __init__(self, which: int) -> None:
        must(which == self.RUNNING, "only the running partition is asked for here")
        self.label = self.running

    @classmethod
    def start(cls, labels: list[str]) -> None:
        cls.labels = labels
        cls.running = OTAData.start(labels)

    @classmethod
    def named(cls, label: str) -> "Partition":
        found = cls(cls.RUNNING)
        found.label = label
        return found

    def get_next_update(self) -> "Partition":
        slots = OTAData.slots
        if not slots:
            raise OSError(2)
        if self.label not in slots:
            return self.named(slots[0])
        # With a single slot, that is the same one again.
        return self.named(slots[(slots.index(self.label) + 1) % len(slots)])

    def info(self) -> tuple[int, int, int, int, str, bool]:
        return (0, 16, 0x10000, self.SLOT_BYTES, self.label, False)

    def writeblocks(self, block: int, data: bytes | bytearray | memoryview) -> None:
        must(self.label != self.running, "writeblocks writes over the running firmware")
        if len(data) % BLOCK_BYTES or (block * BLOCK_BYTES + len(data)) > self.SLOT_BYTES:
            raise OSError(-260)
        with open(Disk.folder + "/" + self.label, "r+b") as slot:
            slot.seek(block * BLOCK_BYTES)
            slot.write(data)

    def readblocks(self, block: int, buf: bytearray) -> None:
        with open(Disk.folder + "/" + self.label, "rb") as slot:
            slot.seek(block * BLOCK_BYTES)
            slot.readinto(buf)

    def set_boot(self) -> None:
        if not image_is_valid(Disk.load(self.label)):
            raise OSError(-5379)
        if not OTAData.slots:
            raise OSError(-261)
        say("set_boot", self.label)
        OTAData.choose(self.label)

    @classmethod
    def find(
        cls, type: int = 0, subtype: int = 0xFF, label: str | None = None
    ) -> list["Partition"]:
        return [cls.named(one) for one in cls.labels if label in (None, one)]

    @staticmethod
    def mark_app_valid_cancel_rollback() -> None:
        OTAData.confirm()
        say("valid")


class OneHash:
    """Pycom has one hash at a time, and keeps it until it is digested."""

    is_active = False

    def __init__(self, data: bytes | bytearray | memoryview = b"") -> None:
        if OneHash.is_active:
            raise OSError("only one active hash operation is permitted at a time")
        OneHash.is_active = True
        self._hash: Any = hashlib.sha256(data)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        if self._hash is None:
            raise OSError("an update after the digest")
        self._hash.update(data)

    def digest(self) -> bytes:
        if self._hash is None:
            raise OSError("a second digest, which differs by version")
        digest = self._hash.digest()
        self._hash = None
        OneHash.is_active = False
        return digest


class Air:
    """The radio: which network is wanted, since when, and which ones can be had.

    ``wifi``: "there"; "absent", also until so many seconds have passed: "absent 4000";
    "locked" by another password; "guest": joined to another one; "joined" already.
    """

    wifi = "there"
    ssid: str | None = None
    password: str | None = None
    since_ms = 0

    @classmethod
    def start(cls, wifi: str) -> None:
        cls.wifi = wifi
        if wifi == "guest":
            cls.join(GUEST, "", -JOIN_MS)
        elif wifi == "joined":
            cls.join("workshop", NETWORKS["workshop"], -JOIN_MS)

    @classmethod
    def join(cls, ssid: str, password: str, since_ms: int | None = None) -> None:
        cls.ssid = ssid
        cls.password = password
        cls.since_ms = Clock.now_ms() if since_ms is None else since_ms

    @classmethod
    def leave(cls) -> None:
        cls.ssid = None

    @classmethod
    def joined(cls) -> str | None:
        """Say which network the board is on, None while it is on none."""
        begins_ms = cls.since_ms
        if cls.ssid == GUEST:
            return GUEST
        if cls.wifi.startswith("absent"):
            seconds = cls.wifi[7:]
            begins_ms = max(begins_ms, int(seconds) * 1000) if seconds else Clock.limit_ms
        there = cls.ssid in NETWORKS and cls.password == NETWORKS[cls.ssid]
        if not there or cls.wifi == "locked" or Clock.now_ms() < begins_ms + JOIN_MS:
            return None
        return cls.ssid


class StockWLAN:
    """``network.WLAN`` of MicroPython's own ports."""

    is_active = False  # of the chip, whichever object speaks for it

    def __init__(self, interface: str) -> None:
        must(interface == "station", "an interface that is none")
        if Air.ssid:
            StockWLAN.is_active = True

    def active(self, on: bool) -> None:
        StockWLAN.is_active = on

    def connect(self, ssid: str, password: str) -> None:
        self._need_active()
        if Air.ssid:
            raise OSError("Wifi Internal Error")
        say("wifi", ssid, password)
        Air.join(ssid, password)

    def isconnected(self) -> bool:
        return Air.joined() is not None

    def config(self, name: str) -> str:
        must(name == "essid", "a parameter that not every port has")
        return Air.ssid or ""

    def disconnect(self) -> None:
        self._need_active()
        Air.leave()

    def _need_active(self) -> None:
        if not StockWLAN.is_active:
            raise OSError("Wifi Not Started")


class PycomWLAN:
    """``network.WLAN`` of Pycom."""

    STA, WPA2 = 1, 3
    gives_up_at_ms: int | None = None

    def __init__(self, mode: int | None = None) -> None:
        must(mode in (None, self.STA), "a mode that is none")
        self._on = True

    def connect(self, ssid: str, auth: tuple[Any, ...], timeout: int) -> None:
        must(self._on, "a WLAN that was switched off")
        must(auth[0] == self.WPA2 and timeout > 1000, "arguments that connect does not take")
        say("wifi", ssid, auth[1])
        Air.join(ssid, auth[1])
        PycomWLAN.gives_up_at_ms = Clock.now_ms() + timeout

    def isconnected(self) -> bool:
        must(self._on, "a WLAN that was switched off")
        if Air.joined():
            PycomWLAN.gives_up_at_ms = None
            return True
        given_up = PycomWLAN.gives_up_at_ms
        if given_up is not None and Clock.now_ms() >= given_up:
            PycomWLAN.gives_up_at_ms = None
            Air.leave()
            raise PycomTimeout("Connection to AP Timeout!")
        return False

    def ssid(self) -> str | None:
        return Air.joined()

    def disconnect(self) -> None:
        Air.leave()

    def deinit(self) -> None:
        say("wifi off")
        self._on = False
        Air.leave()


class LoRa:
    """``network.LoRa`` of a LoPy4 or FiPy; it may wait for its network for ever."""

    LORAWAN, EU868, OTAA = 1, 5, 0
    is_joined = False
    reaches_network = True

    def __init__(self, mode: int, region: int) -> None:
        must((mode, region) == (self.LORAWAN, self.EU868), "arguments that LoRa does not take")
        self._asked_ms: Any = None

    def join(self, activation: int, auth: tuple[Any, ...], timeout: int) -> None:
        must(activation == self.OTAA and len(auth[0]) == 8 and len(auth[1]) == 16, "keys")
        must(timeout == 0, "a join that blocks, and raises after its time-out")
        self._asked_ms = Clock.now_ms()
        say("join")

    def has_joined(self) -> bool:
        waited_ms = Clock.now_ms() - self._asked_ms
        LoRa.is_joined = self.reaches_network and waited_ms >= LORA_JOIN_MS
        return LoRa.is_joined


class LoRaSocket:
    """A raw LoRa socket; a downlink comes in the windows after an uplink, if at all."""

    uplinks = 0
    asks_at = 3
    fails_at = 0

    def __init__(self) -> None:
        self._blocking = True

    def setsockopt(self, level: int, name: int, value: int) -> None:
        pass

    def setblocking(self, blocking: bool) -> None:
        self._blocking = blocking

    def send(self, data: bytes) -> None:
        must(LoRa.is_joined and len(data) == 2, "an uplink that can't be sent")
        LoRaSocket.uplinks += 1
        if LoRaSocket.uplinks == self.fails_at:
            raise OSError(11)
        say("uplink")

    def recv(self, limit: int) -> bytes:
        must(not self._blocking, "a recv that waits for ever where nothing comes down")
        return b"\x01\x02\x03" if LoRaSocket.uplinks == self.asks_at else b""


class WiFiSocket:
    """A TCP socket as grudging as lwIP's: sends a little at a time, reads when it likes."""

    def __init__(self) -> None:
        self.real = socket.socket()
        self._is_blocking = True
        self._reads = 0

    def settimeout(self, seconds: float) -> None:
        self._is_blocking = seconds != 0
        self.real.settimeout(seconds)

    def setblocking(self, blocking: bool) -> None:
        self._is_blocking = blocking
        self.real.setblocking(blocking)

    def connect(self, address: tuple[Any, ...]) -> None:
        if Air.joined() not in NETWORKS:
            raise OSError(113)
        self.real.connect(address)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        return self.real.send(memoryview(data)[:MOST_SENT_BYTES])

    def readinto(self, buf: bytearray) -> int | None:
        must(not self._is_blocking, "a read that a dripping server can hold for ever")
        self._reads += 1
        # poll() said that there is something, and then there is not.
        return self.real.readinto(buf) if self._reads % 3 else None

    def close(self) -> None:
        self.real.close()


class Poll:
    """``select.poll()``, which sees through the stand-in for a socket."""

    def __init__(self) -> None:
        self._poll = select.poll()

    def register(self, stream: WiFiSocket, events: int) -> None:
        self._poll.register(stream.real, events)

    def poll(self, timeout_ms: int) -> list[Any]:
        return self._poll.poll(timeout_ms)


def make_socket(
    family: object = socket.AF_INET, kind: object = socket.SOCK_STREAM
) -> LoRaSocket | WiFiSocket:
    return LoRaSocket() if family == "lora" else WiFiSocket()


def resolver(port: int) -> Callable[[str, int], list[Any]]:
    """Return a ``getaddrinfo`` to which every server is the one at ``port`` here.

    The ports that a server opens for FTP's data stay what they are.
    """

    def resolve(host: str, number: int) -> list[Any]:
        if not Air.joined():
            raise OSError(-202)
        return socket.getaddrinfo("127.0.0.1", number if number >= FIRST_DATA_PORT else port)

    return resolve
