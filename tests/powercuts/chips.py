"""What lasts over a power cut: a flash chip, and the slots of an ESP32 (under MicroPython)."""

SLOT_BLOCKS = 4
EIO = -5


class PowerCut(BaseException):
    pass


class Reset(BaseException):
    pass


class Power:
    """Counts writes to anything that lasts, and fails at the chosen one."""

    def __init__(self):
        self.on = True
        self.writes = 0
        self.cuts = []

    def restore(self):
        self.on = True

    def write(self, memory, start, data, unit_bytes):
        """Write ``data``, or half of it and no more."""
        if not self.on:
            raise PowerCut
        if self.cuts and self.writes == self.cuts[0] // 2:
            half = self.cuts.pop(0) % 2
            self.writes = 0
            self.on = False
            if half:
                self._tear(memory, start, data, unit_bytes)
            raise PowerCut
        self.writes += 1
        memory[start : start + len(data)] = data

    def _tear(self, memory, start, data, unit_bytes):
        if unit_bytes > len(data):
            # Erased as a whole, then written back up to the middle of the new data.
            first = start - start % unit_bytes
            kept = bytes(memory[first:start])
            memory[first : first + unit_bytes] = b"\xff" * unit_bytes
            memory[first:start] = kept
        middle = len(data) // 2
        memory[start : start + middle] = data[:middle]


class FlashChip:
    """A block device in a bytearray, for LittleFS (erase, then program) and for FAT."""

    def __init__(self, power, memory, block_bytes, unit_bytes):
        self.power = power
        self.memory = memory
        self.block_bytes = block_bytes
        self.unit_bytes = unit_bytes

    def readblocks(self, block, buf, offset=0):
        if not self.power.on:
            return EIO  # no exception here: the garbage collector may be asking, see _boot
        start = block * self.block_bytes + offset
        buf[:] = self.memory[start : start + len(buf)]
        return 0

    def writeblocks(self, block, buf, offset=0):
        if not self.power.on:
            return EIO
        view = memoryview(buf)
        start = block * self.block_bytes + offset
        for at in range(0, len(buf), self.block_bytes):
            piece = view[at : at + self.block_bytes]
            self.power.write(self.memory, start + at, piece, self.unit_bytes)
        return 0

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.memory) // self.block_bytes
        if op == 5:
            return self.block_bytes
        if op == 6:
            if not self.power.on:
                return EIO
            blank = b"\xff" * self.block_bytes
            self.power.write(self.memory, arg * self.block_bytes, blank, self.unit_bytes)
        return 0


class Esp32:
    """Two slots, and a bootloader that goes back from an image that isn't confirmed."""

    def __init__(self, power):
        self.power = power
        self.slots = [bytearray(SLOT_BLOCKS * 4096), bytearray(SLOT_BLOCKS * 4096)]
        # Slot to boot, whether that is on trial: one record, as the bootloader's own is.
        self.record = bytearray(b"\0\0")
        self.running = 0

    def start(self):
        slot, trial = self.record
        if trial == 2:
            slot, trial = 1 - slot, 0
        self.record = bytearray((slot, 2 if trial else 0))
        self.running = slot

    def module(self):
        chip = self

        class Partition:
            RUNNING = 0
            TYPE_APP = 0

            def __init__(self, which):
                self.slot = chip.running

            def get_next_update(self):
                other = Partition(0)
                other.slot = 1 - chip.running
                return other

            def info(self):
                return (0, 0, 0, SLOT_BLOCKS * 4096, f"ota_{self.slot}", False)

            def readblocks(self, block, buf):
                buf[:] = chip.slots[self.slot][block * 4096 : block * 4096 + len(buf)]

            def writeblocks(self, block, buf):
                assert self.slot != chip.running and len(buf) % 4096 == 0
                chip.power.write(chip.slots[self.slot], block * 4096, buf, 4096)

            def set_boot(self):
                if chip.slots[self.slot][0] != 0xE9:
                    raise OSError(-5379)
                chip.power.write(chip.record, 0, bytes((self.slot, 1)), 2)

            @staticmethod
            def find(kind, label=None):
                found = Partition(0)
                found.slot = int(label[-1])
                return [found]

            @staticmethod
            def mark_app_valid_cancel_rollback():
                chip.power.write(chip.record, 0, bytes((chip.running, 0)), 2)

        class Module:
            pass

        Module.Partition = Partition
        return Module


class Machine:
    @staticmethod
    def reset():
        raise Reset

    class Timer:
        """An alarm that never comes: the simulation starts the device anew by itself."""

        ONE_SHOT = 0

        def __init__(self, number):
            pass

        def init(self, mode, period, callback):
            pass
