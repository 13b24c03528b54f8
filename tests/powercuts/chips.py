"""What lasts over a power cut: flash chips, and the firmware slots (under MicroPython)."""

SLOT_BLOCKS = 20
SLOT_BYTES = SLOT_BLOCKS * 4096
EIO = -5
# What a bootloader thinks of the image in a slot.
VALID, NEW, PENDING, ABORTED = range(4)
UNIT_BYTES = 4096


class PowerCut(BaseException):
    pass


class Reset(BaseException):
    pass


class Power:
    """Counts writes to anything that lasts, and fails at the chosen ones.

    Cut 2 * n comes before write n, cut 2 * n + 1 in the middle of it.
    """

    def __init__(self) -> None:
        self.on = True
        self.writes = 0
        self.half = 0
        self.cuts: list[int] = []

    def write(
        self,
        memory: bytearray,
        start: int,
        data: bytes | bytearray | memoryview,
        erases: bool = False,
    ) -> None:
        """Write ``data``, or half of it; what ``erases`` is blank then, as that takes longest."""
        if self._fails():
            if self.half and erases:
                memory[start : start + len(data)] = b"\xff" * len(data)
            elif self.half:
                middle = len(data) // 2
                memory[start : start + middle] = data[:middle]
            raise PowerCut
        memory[start : start + len(data)] = data

    def write_record(self, memory: bytearray, data: bytes) -> None:
        """Write a bootloader's record: it has two, and takes the other if one is torn."""
        if self._fails():
            raise PowerCut
        memory[:] = data

    def _fails(self) -> bool:
        if not self.on:
            raise PowerCut
        if self.cuts and self.writes == self.cuts[0] // 2:
            self.half = self.cuts.pop(0) % 2
            self.writes = 0
            self.on = False
            return True
        self.writes += 1
        return False


class FlashChip:
    """A block device in a bytearray.

    LittleFS erases a block and programs it by parts; under FAT, a write replaces a sector,
    which ``erases`` it before if the sector lies on flash.
    """

    def __init__(self, power: Power, memory: bytearray, block_bytes: int, erases: bool) -> None:
        self.power = power
        self.memory = memory
        # To read without an allocation: MicroPython looks long for room in a large heap.
        self.view = memoryview(memory)
        self.block_bytes = block_bytes
        self.erases = erases

    def readblocks(self, block: int, buf: bytearray, offset: int = 0) -> int:
        if not self.power.on:
            return EIO  # no exception here: the garbage collector may be asking
        start = block * self.block_bytes + offset
        buf[:] = self.view[start : start + len(buf)]
        return 0

    def writeblocks(self, block: int, buf: bytearray, offset: int = 0) -> int:
        if not self.power.on:
            return EIO
        view = memoryview(buf)
        start = block * self.block_bytes + offset
        for at in range(0, len(buf), self.block_bytes):
            self.write(start + at, view[at : at + self.block_bytes])
        return 0

    def write(self, start: int, data: bytes | memoryview) -> None:
        self.power.write(self.memory, start, data, self.erases)

    def sync(self) -> None:
        pass

    def ioctl(self, op: int, arg: int) -> int:
        if op in (3, 6) and not self.power.on:
            return EIO
        if op == 3:
            self.sync()
        if op == 4:
            return len(self.memory) // self.block_bytes
        if op == 5:
            return self.block_bytes
        if op == 6:
            self.write(arg * self.block_bytes, b"\xff" * self.block_bytes)
        return 0


class CachedFlashChip(FlashChip):
    """Pycom's FAT: sectors of 512 bytes, behind a cache of the 4096 that are erased at once.

    What is in the cache is written when another unit is asked for, or on sync.
    """

    unit = None

    def __init__(self, power: Power, memory: bytearray, block_bytes: int, erases: bool) -> None:
        super().__init__(power, memory, block_bytes, erases)
        self.cache = bytearray(UNIT_BYTES)
        self.cache_view = memoryview(self.cache)

    def readblocks(self, block: int, buf: bytearray, offset: int = 0) -> int:
        if not self.power.on:
            return EIO
        for at in range(0, len(buf), self.block_bytes):
            start = self._load(block * self.block_bytes + at)
            buf[at : at + self.block_bytes] = self.cache_view[start : start + self.block_bytes]
        return 0

    def write(self, start: int, data: bytes | memoryview) -> None:
        start = self._load(start)
        self.cache[start : start + len(data)] = data
        self.dirty = True

    def sync(self) -> None:
        if self.unit is not None and self.dirty:
            self.dirty = False
            self.power.write(self.memory, self.unit * UNIT_BYTES, self.cache, True)

    def _load(self, start: int) -> int:
        unit = start // UNIT_BYTES
        if unit != self.unit:
            self.sync()
            self.cache[:] = self.view[unit * UNIT_BYTES : (unit + 1) * UNIT_BYTES]
            self.unit = unit
            self.dirty = False
        return start % UNIT_BYTES


class Chip:
    """Two firmware slots; ``running`` is the one that the device has started from."""

    def __init__(self, power: Power) -> None:
        self.power = power
        self.slots = [bytearray(SLOT_BYTES), bytearray(SLOT_BYTES)]
        # The slot to boot, and the state of each.
        self.record = bytearray(3)
        self.running = 0

    def manufacture(self) -> None:
        self.record[:] = bytes((0, VALID, ABORTED))
        for slot in self.slots:
            slot[:] = b"\xe9" + bytes(SLOT_BYTES - 1)

    def start(self) -> None:
        self.running = self.record[0]

    def image(self, size: int) -> bytes:
        return bytes(self.slots[self.running][:size])


class Esp32(Chip):
    """A bootloader that goes back from an image that isn't confirmed, and never to one again.

    Source: "App Rollback" in the ESP-IDF Programming Guide, and bootloader_utility.c.
    """

    name = "esp32"

    def start(self) -> None:
        slot, states = self.record[0], list(self.record[1:])
        if states[slot] == PENDING:
            states[slot] = ABORTED
        if states[slot] == ABORTED:
            slot = 1 - slot
        if states[slot] not in (VALID, NEW):
            raise AssertionError("no slot that the bootloader starts")
        if states[slot] == NEW:
            states[slot] = PENDING
        self.set(self.record[0], states)
        self.running = slot

    def set(self, slot: int, states: list[int]) -> None:
        record = bytes([slot] + states)  # noqa: RUF005 - not in this MicroPython
        if record != self.record:
            self.power.write_record(self.record, record)

    def mark(self, slot: int, state: int, boot: bool) -> None:
        states = list(self.record[1:])
        states[slot] = state
        self.set(slot if boot else self.record[0], states)

    def module(self) -> type:
        chip = self

        class Partition:
            RUNNING = 0
            TYPE_APP = 0

            def __init__(self, which: int) -> None:
                self.slot = chip.running

            def get_next_update(self) -> "Partition":
                other = Partition(0)
                other.slot = 1 - chip.running
                return other

            def info(self) -> tuple[int, int, int, int, str, bool]:
                return (0, 0, 0, SLOT_BYTES, f"ota_{self.slot}", False)

            def readblocks(self, block: int, buf: bytearray) -> None:
                buf[:] = chip.slots[self.slot][block * 4096 : block * 4096 + len(buf)]

            def writeblocks(self, block: int, buf: bytearray) -> None:
                assert self.slot != chip.running and len(buf) % 4096 == 0
                chip.power.write(chip.slots[self.slot], block * 4096, buf, True)

            def set_boot(self) -> None:
                if chip.slots[self.slot][0] != 0xE9:
                    raise OSError(-5379)
                chip.mark(self.slot, NEW, boot=True)

            @staticmethod
            def find(kind: int, label: str = "") -> list["Partition"]:
                found = Partition(0)
                found.slot = int(label[-1])
                return [found]

            @staticmethod
            def mark_app_valid_cancel_rollback() -> None:
                chip.mark(chip.running, VALID, boot=False)

        class Module:
            Partition: type

        Module.Partition = Partition
        return Module


class Pycom(Chip):
    """A bootloader that starts what it is told to, and never goes back by itself."""

    name = "pycom"
    NAMES = ("Factory", "ota_0")

    def start(self) -> None:
        super().start()
        self.at: int | None = None
        self.finished = False

    def module(self) -> type:
        chip = self

        class Module:
            FACTORY = 0
            OTA_0 = 1

            @staticmethod
            def ota_start() -> None:
                assert not chip.finished, "would write over the running slot"
                chip.at = 0

            @staticmethod
            def ota_write(data: bytes) -> None:
                assert chip.at is not None, "would write at address 0"
                assert 0 < len(data) <= 4096 and chip.at + len(data) <= SLOT_BYTES
                chip.power.write(chip.slots[1 - chip.running], chip.at, data, True)
                chip.at += len(data)

            @staticmethod
            def ota_verify() -> bool:
                return chip.slots[1 - chip.running][0] == 0xE9

            @staticmethod
            def ota_finish() -> None:
                chip.finished = True
                chip.power.write_record(chip.record, bytes((1 - chip.running, 0, 0)))

            @staticmethod
            def bootmgr(
                boot_partition: int | None = None, reset: bool = False
            ) -> tuple[str, str, str, str]:
                if boot_partition is None:
                    return (chip.NAMES[chip.running], "LittleFS", "", "")
                chip.power.write_record(chip.record, bytes((boot_partition, 0, 0)))
                raise Reset

            @staticmethod
            def get_free_heap() -> tuple[int, int]:
                return (60000, 2500000)

        return Module


class Machine:
    @staticmethod
    def reset() -> None:
        raise Reset

    class Timer:
        """An alarm that never comes: the simulation starts the device anew by itself."""

        ONE_SHOT = 0

        def __init__(self, number: int = 0) -> None:
            pass

        def init(self, mode: int, period: int, callback: object) -> None:
            pass

        @staticmethod
        def Alarm(callback: object, seconds: int) -> None:
            return None
