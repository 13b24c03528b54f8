"""Runs under MicroPython: what one update does to a flash; see tests.bench.device_wear.

    wear.py LIBRARY FILE_SYSTEM CASE

Prints the number of blocks erased and of bytes programmed for writing the changed files once,
the same for the update with its install and its end, the bytes that the update asks for,
and the size of what it brings.
"""

import os
import sys

import vfs
from chips import Esp32, FlashChip, Machine, Power, Reset

from releases import BOOT_PY, MAIN_PY, Bytes, library, record, served

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from OTA import OTA

BLOCK_BYTES = 4096
FLASH_BLOCKS = 512
# What the ports give LittleFS: the ESP32 the defaults, the RP2 this.
LITTLEFS_SIZES = {"esp32": {}, "rp2": {"progsize": 256}}


class CountingChip(FlashChip):
    """Counts what wears a flash."""

    erased_blocks = 0
    programmed_bytes = 0

    def writeblocks(self, block: int, buf: bytearray, offset: int = 0) -> int:
        self.programmed_bytes += len(buf)
        if self.erases:
            self.erased_blocks += len(buf) // BLOCK_BYTES
        return super().writeblocks(block, buf, offset)

    def ioctl(self, op: int, arg: int) -> int:
        self.erased_blocks += op == 6
        return super().ioctl(op, arg)


def text(name: str, size_bytes: int, edition: str) -> bytes:
    line = f"{name} of {edition}\n".encode()
    return (line * (size_bytes // len(line) + 1))[:size_bytes]


def changed_files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return two releases of which 90 KB in 15 files differ."""
    paths = [f"flash/lib/module_{number:02}.py" for number in range(15)]
    old, new = ({path: text(path, 6000, edition) for path in paths} for edition in ("1", "2"))
    return old, new


def moved_file() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return two releases of which one has a file of 100 KB elsewhere."""
    large = text("large", 100_000, "both")
    return {"flash/data/old.bin": large}, {"flash/data/new.bin": large}


def library_files(files: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return two releases that have another library: every file of it differs."""
    changes = {
        path: content + b"# new\n" for path, content in files.items() if "ota_boot" not in path
    }
    return {}, changes


def tree(storage: dict[str, bytes]) -> None:
    for path in sorted(storage):
        at = path.find("/")
        while at > 0:
            try:
                os.mkdir("/" + path[:at])
            except OSError:
                pass
            at = path.find("/", at + 1)
        with open("/" + path, "wb") as made:
            made.write(storage[path])


def manufactured(file_system: str, files: dict[str, bytes]) -> CountingChip:
    """Return a flash with a file system that has these files, mounted."""
    power.on = True
    memory = bytearray(FLASH_BLOCKS * BLOCK_BYTES)
    chip = CountingChip(power, memory, BLOCK_BYTES, file_system == "fat")
    make = vfs.VfsFat if file_system == "fat" else vfs.VfsLfs2
    sizes = LITTLEFS_SIZES.get(file_system, {})
    make.mkfs(chip, **sizes)
    vfs.mount(make(chip, **sizes), "/flash")
    tree(files)
    # A device that has been updated before.
    tree({"flash/.ota/outcome": b"", "flash/.ota/refused": b""})
    chip.erased_blocks = chip.programmed_bytes = 0
    return chip


def written_once(file_system: str, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    chip = manufactured(file_system, old)
    for path in old:
        if path not in new:
            os.remove("/" + path)
    tree({path: new[path] for path in new if new[path] != old.get(path)})
    vfs.umount("/flash")
    return f"{chip.erased_blocks} {chip.programmed_bytes}"


def updated(file_system: str, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    chip = manufactured(file_system, old)
    ota = memory_ota(served(old, new, "1.0.1", "1.0.0"))
    for _ in range(2):
        try:
            if __import__("ota_recovery").recover(log=print) == "trial":
                ota.confirm()
            else:
                ota.update()
        except Reset:
            pass
    if ota.versions()[0] != "1.0.1" or ota.outcome()[0] != "installed":
        raise AssertionError("not updated")
    vfs.umount("/flash")
    return f"{chip.erased_blocks} {chip.programmed_bytes}"


def asked_for(file_system: str, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """Return the bytes that an update asks for, from what it says when they are not there."""
    manufactured(file_system, old)
    ota = memory_ota(served(old, new, "1.0.1", "1.0.0"))
    free = os.statvfs("/flash")[3]
    with open("/flash/own.bin", "wb") as own:
        for _ in range(free - 8):
            own.write(bytes(BLOCK_BYTES))
    try:
        ota.update()
    except sys.modules["ota_errors"].SpaceError as error:
        return str(error).split()[3]
    finally:
        vfs.umount("/flash")
    raise AssertionError("the update needs next to nothing")


def memory_ota(contents: dict[str, bytes]) -> "OTA":
    from OTA import OTA

    class MemoryOTA(OTA):
        def connect(self) -> None:
            pass

        def open(self, path: str, offset: int) -> Bytes:
            return Bytes(contents[path.split("?")[0]], offset)

    return MemoryOTA()


power = Power()
folder, file_system, case = sys.argv[1:]
board = Esp32(power)
sys.modules["esp32"] = board.module()
sys.modules["machine"] = Machine
sys.path.insert(0, folder)
sys.path.append("/flash")
files = library(folder, "ota_esp32")
common = {"flash/boot.py": BOOT_PY, "flash/main.py": MAIN_PY}
common.update(files)
common["flash/OTA_VERSION.py"] = record("1.0.0", None)
cases = {"changed": changed_files, "moved": moved_file, "library": lambda: library_files(files)}
old, new = dict(common), dict(common)
before, after = cases[case]()
old.update(before)
new.update(after)
brought = sum(len(new[path]) for path in new if new[path] != old.get(path))
for measure in (written_once, updated, asked_for):
    print(measure(file_system, old, new))
print(brought)
