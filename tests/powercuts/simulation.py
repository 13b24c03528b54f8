"""Runs under MicroPython: a board with real file systems whose power is cut at will.

    micropython -X heapsize=32m simulation.py DEVICE_FOLDER KIND SCENARIO SIZE JOB...

JOB is ``count`` (print how many writes there are); a cut point ``K``; two of them, ``K,L``:
the second counts from when the power is back; ``K,*``: every second one that there is
after K; or ``full``: no cut, but the flash is filled, block by block more, until the update
is refused. Prints a line for each update that was tried:

    job CUTS ok|LOST|unfired DETAILS

DEVICE_FOLDER may be two of them, ``OLD:NEW``: then the update brings another edition of the
library. KIND says what the device is, see KINDS. The library is on the device's own flash and is
imported from there; what is on flash to the byte is not compiled anew, to save time.
"""

import gc
import os
import sys

import vfs
from chips import (
    CachedFlashChip,
    Esp32,
    FlashChip,
    Machine,
    Power,
    PowerCut,
    Pycom,
    Reset,
)

from releases import (
    FIRMWARE,
    Bytes,
    full_releases,
    library,
    moved_releases,
    record,
    served,
    shrinking_releases,
    small_releases,
)

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from typing import Any

    from OTA import OTA

OLD_LIBRARY, _, NEW_LIBRARY = sys.argv[1].partition(":")
CHIPS = {"esp32": Esp32, "pycom": Pycom}
# File system, chip, block size, size of a flash and of a card, what a write does.
KINDS = {
    "lfs": ("lfs", "esp32", 4096, False),
    "pycom-lfs": ("lfs", "pycom", 4096, False),
    "card-fat": ("fat", "esp32", 512, False),
    "flash-fat": ("fat", "esp32", 4096, True),
    "pycom-fat": ("fat", "pycom", 512, True),
}
RELEASES = {"full": full_releases, "small": small_releases, "filled": shrinking_releases}
FLASH_BYTES = 160 * 4096
SMALL_FLASH_BYTES = 88 * 4096
CARD_BYTES = 128 * 4096
MOST_BOOTS = 30
FILLER = "/own.bin"
# What the ESP32 port gives LittleFS.
LITTLEFS_SIZES = {"readsize": 128, "progsize": 128, "lookahead": 128}

power = Power()


def read_or_none(path: str) -> bytes | None:
    try:
        with open(path, "rb") as source:
            return source.read()
    except OSError:
        return None


class Storage:
    """A file system on a chip of its own, mounted at ``path`` while the power is on."""

    def __init__(self, kind: str, path: str, size_bytes: int) -> None:
        self.file_system, self.board, self.block_bytes, self.erases = KINDS[kind]
        self.path = path
        self.memory = bytearray(size_bytes)

    def make(self, format: bool = False) -> None:
        cached = self.erases and self.block_bytes == 512
        chip = (CachedFlashChip if cached else FlashChip)(
            power, self.memory, self.block_bytes, self.erases
        )
        make = vfs.VfsLfs2 if self.file_system == "lfs" else vfs.VfsFat
        sizes = LITTLEFS_SIZES if self.file_system == "lfs" else {}
        if format:
            make.mkfs(chip, **sizes)
        made = make(chip, **sizes)
        vfs.mount(made, self.path)

    def fill(self, tree: dict[str, bytes]) -> None:
        for path in sorted(tree):
            if not path.startswith(self.path[1:] + "/"):
                continue
            at = path.find("/", len(self.path))
            while at > 0:
                if read_or_none("/" + path[:at]) is None and not is_there("/" + path[:at]):
                    os.mkdir("/" + path[:at])
                at = path.find("/", at + 1)
            with open("/" + path, "wb") as made:
                made.write(tree[path])


def is_there(path: str) -> bool:
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def state_of(ota: OTA) -> str:
    """Return the state of an update, whichever edition of the library carries it out."""
    if hasattr(ota, "_recovery"):  # the first
        return ota._recovery.state()
    from ota_journal import Journal

    return Journal(ota.board).state()


class Device:
    """The device: what lasts over a power cut, and how it starts."""

    def __init__(self, kind: str, scenario: str, size: str) -> None:
        small = size == "small"
        # The application fills the flash during the trial, and the old release is the larger.
        self.fills = size == "filled"
        self.kind = kind
        self.scenario = scenario
        self.chip = CHIPS[KINDS[kind][1]](power)
        sys.modules[self.chip.name] = self.chip.module()
        sys.modules["machine"] = Machine
        files = library(OLD_LIBRARY, self.chip.name)
        if NEW_LIBRARY:
            moved = library(NEW_LIBRARY, self.chip.name)
            self.old, self.new = moved_releases(files, moved)
        else:
            self.old, self.new = RELEASES[size](files)
        self.firmware = FIRMWARE[: 4096 if small else len(FIRMWARE)]
        self.old["flash/OTA_VERSION.py"] = record("1.0.0", None)
        self.served = served(self.old, self.new, "1.0.1", "1.0.0", self.firmware)
        self.new["flash/OTA_VERSION.py"] = record("1.0.1", "1.0.1")
        # One boot of trial is quicker, but a cut during it would end it.
        self.trial_boots = 1 if small and scenario != "confirm" else 3
        size_bytes = SMALL_FLASH_BYTES if small else FLASH_BYTES
        # The first edition needs room for all contents three times.
        self.storages = [Storage(kind, "/flash", size_bytes * (2 if NEW_LIBRARY else 1))]
        if not small:
            self.storages.append(Storage(kind, "/sd", CARD_BYTES))
        self._manufacture()
        self._import_library()

    def _manufacture(self) -> None:
        power.on = True
        for storage in self.storages:
            storage.make(format=True)
            storage.fill(self.old)
            vfs.umount(storage.path)
        self.chip.manufacture()
        self.pristine = self._snapshot()

    def _import_library(self) -> None:
        """Import what may be found on flash once, to be used whenever it is there whole."""
        self.modules: dict[str, Any] = {}
        if NEW_LIBRARY:
            return  # two editions: each boot compiles what it finds
        sys.path[:] = ["/library"]
        vfs.mount(Library(self.old), "/library")
        for path in self.old:
            name = path.split("/")[-1][:-3]
            if name.startswith("ota_") or name in ("OTA", "real_recovery"):
                __import__(name)
                self.modules[name] = ((self.old[path], self.new[path]), sys.modules[name])
        vfs.umount("/library")
        self.modules["ota_prev"] = self.modules["ota_recovery"]
        # Compiling anew what an update drops from memory would take most of the time.
        sys.modules["OTA"]._unload = lambda *names: None

    def _memories(self) -> list[bytearray]:
        return [storage.memory for storage in self.storages] + self.chip.slots + [self.chip.record]

    def _snapshot(self) -> list[bytes]:
        return [bytes(memory) for memory in self._memories()]

    def _restore(self, snapshot: list[bytes]) -> None:
        for memory, saved in zip(self._memories(), snapshot):
            memory[:] = saved

    def run(self, cuts: list[int], snapshot: list[bytes] | None = None) -> int:
        """Live through the scenario with these cuts; return how many writes it took.

        From a snapshot, the power has been cut before.
        """
        self._restore(snapshot or self.pristine)
        power.cuts = list(cuts)
        power.writes = 0
        self._begin_scenario()
        for _ in range(MOST_BOOTS):
            if self._boot():
                writes = power.writes
                self.all_fired = not power.cuts
                self._further_update()
                return writes
        raise AssertionError("never came to an end")

    def run_to_cut(self, cut: int) -> list[bytes] | None:
        """Start the scenario, and return what lasts when the power goes; None if it doesn't."""
        self._restore(self.pristine)
        power.cuts = [cut]
        power.writes = 0
        self._begin_scenario()
        for _ in range(MOST_BOOTS):
            ended = self._boot()
            if not power.cuts:
                return self._snapshot()
            if ended:
                break
        return None

    def run_nearly_full(self, filler_bytes: int) -> bool:
        """Live through the scenario with a flash that has a file of the application's own.

        Return whether the update was made; it must be whole then, or refused.
        """
        self._restore(self.pristine)
        power.on = True
        self.storages[0].make()
        with open("/flash" + FILLER, "wb") as filler:
            for _ in range(filler_bytes // 4096):
                filler.write(bytes(4096))
        vfs.umount("/flash")
        self._begin_scenario()
        for _ in range(MOST_BOOTS):
            if self._boot():
                return not self.refused
        raise AssertionError("never came to an end")

    def _begin_scenario(self) -> None:
        self.refused = False
        self.trees = (self.old, self.new)
        self.application = self._application
        self.served_now = self.served
        self.lost_boot_py = False

    def _further_update(self) -> None:
        power.cuts = []
        tree = dict(self._expected(self.outcome))
        later = dict(tree)
        later["flash/later.txt"] = b"later\n"
        later["flash/main.py"] += b"# later\n"
        base = "1.0.1" if self.outcome == "installed" else "1.0.0"
        self.served_now = served(tree, later, "1.0.2", base)
        later["flash/OTA_VERSION.py"] = record(
            "1.0.2",
            "1.0.1"
            if self.outcome == "installed"
            # Which firmware it had, the first edition doesn't remember.
            else None
            if NEW_LIBRARY
            else "1.0.0",
        )
        self.trees = (tree, later)
        self.confirmed = False
        self.application = self._update_once_more
        for _ in range(4):
            if self._boot():
                break
        else:
            raise AssertionError("the further update did not end")
        if self.tree != later:
            raise AssertionError("the further update is not what it should be")

    def _update_once_more(self, ota: OTA) -> bool:
        if ota.confirm():
            self.confirmed = True
            self._check_leftovers()
        elif not self.confirmed:
            self._update(ota)
        return self.confirmed

    def _update(self, ota: OTA) -> None:
        try:
            ota.update()
        except sys.modules["ota_errors"].StorageError as error:
            # FAT has damaged the library's folder: it says so, and has a new one.
            if KINDS[self.kind][0] == "lfs" or "has been replaced" not in str(error):
                raise
        else:
            raise AssertionError("the update did not reset")

    def _boot(self) -> bool:
        """Switch on and run until the power goes, a reset, or the application is done."""
        power.on = True
        try:
            self.chip.start()
            for storage in self.storages:
                self._mount(storage)
            return self._run_boot_and_main() and power.on
        except (PowerCut, Reset):
            return False
        except Exception:
            # Without power every access fails, in whatever way the code reports that.
            if power.on:
                raise
            return False
        finally:
            was_cut = not power.on
            power.on = False
            for storage in self.storages:
                try:
                    vfs.umount(storage.path)
                except OSError:
                    pass  # the power went before it was mounted
            if was_cut:
                gc.collect()  # files that the cut left open close on a dead chip

    def _mount(self, storage: Storage) -> None:
        try:
            storage.make()
        except OSError as error:
            if power.on:
                raise AssertionError(f"no file system any more: {error}") from error
            raise PowerCut from error

    def _run_boot_and_main(self) -> bool:
        self._load_what_is_whole()
        sys.path[:] = ["/flash", "/flash/lib"]
        with open("/flash/boot.py") as source:
            text = source.read()
        # What boot.py raises would keep some ports from starting main.py: nothing is caught.
        exec(text, {})
        self.boot_py_was_empty = not text
        if self.boot_py_was_empty and KINDS[self.kind][0] == "lfs":
            raise AssertionError("boot.py is empty")
        done = []
        with open("/flash/main.py") as source:
            text = source.read()
        exec(text, {"start": lambda OTA: done.append(self._start(OTA))})
        if not done:
            raise AssertionError("main.py is empty")
        return done[0]

    def _load_what_is_whole(self) -> None:
        """Provide the modules whose files are there to the byte; the rest is up to import.

        Files that no release changes are not looked at here: _check looks at them all.
        """
        for name in list(sys.modules):
            if name == "OTA" or (name.startswith("ota_") and name not in self.modules):
                del sys.modules[name]
        for name, (contents, module) in self.modules.items():
            sys.modules.pop(name, None)
            changes = contents[0] != contents[1] or name == "ota_prev"
            if not changes or read_or_none("/flash/lib/" + name + ".py") in contents:
                sys.modules[name] = module

    def _start(self, base: type) -> bool:
        device = self

        class MemoryOTA(base):
            """A transport of its own: the server is a dictionary."""

            def connect(self) -> None:
                pass

            def open(self, path: str, offset: int) -> Bytes:
                return Bytes(device.served_now[path.split("?")[0]], offset)

        ota = MemoryOTA(trial_boots=self.trial_boots)
        if self.boot_py_was_empty:
            # FAT can lose boot.py while it is replaced: whatever is called first goes on.
            self.lost_boot_py = True
            ota._settle()
        self.tree = read_tree(self.storages)
        self._check()
        return self.application(ota)

    def _check(self) -> None:
        if self.tree not in self.trees:
            raise AssertionError("neither old nor new: " + difference(self.tree, self.trees[1]))
        new_files = self.tree == self.new
        if self.trees[0] is self.old:
            new_firmware = self.chip.image(len(self.firmware)) == self.firmware
            if new_firmware != new_files:
                raise AssertionError("files and firmware do not belong together")

    def _check_leftovers(self) -> None:
        """At the very end there is nothing of the updates but the outcome."""
        names = [name for name in os.listdir("/flash/lib") if name.startswith("ota_prev")]
        # FAT makes up names, see device/README.md; and on flash it may lose anything.
        if KINDS[self.kind][0] == "lfs":
            for storage in self.storages:
                folder = os.listdir(storage.path + "/.ota")
                names += [name for name in folder if name not in ("outcome", "refused")]
        if names and self.kind not in ("flash-fat", "pycom-fat"):
            raise AssertionError(f"left over: {names}")

    def _application(self, ota: OTA) -> bool:
        """What main.py does in each scenario; true once the update has come to its end."""
        outcome = ota.outcome()
        state = state_of(ota)
        if outcome and state == "idle":
            self.outcome = outcome[0]
            if self.fills:
                empty(self.storages)
            if self.tree != self._expected(outcome[0]):
                raise AssertionError(f"the outcome {outcome} is not what is there")
            wanted = "installed" if self.scenario == "confirm" else "rolled back"
            if outcome[0] != wanted:
                raise AssertionError(f"the outcome is {outcome}")
            return True
        if state == "trial":
            if self.fills:
                fill(self.storages)
            if self.scenario == "confirm":
                ota.confirm()
            elif self.scenario == "rollback":
                ota.rollback()
            return False
        try:
            self._update(ota)
        except sys.modules["ota_errors"].SpaceError:
            self.refused = True
            return True
        return False

    def _expected(self, outcome: str) -> dict[str, bytes]:
        return self.new if outcome == "installed" else self.old


def fill(storages: list[Storage]) -> None:
    """Fill all that is free, to the last byte that can be written."""
    for storage in storages:
        for size_bytes in (4096, 64):
            try:
                while True:
                    with open(storage.path + FILLER, "ab") as filler:
                        filler.write(bytes(size_bytes))
            except OSError:
                if not power.on:
                    raise


def empty(storages: list[Storage]) -> None:
    for storage in storages:
        if is_there(storage.path + FILLER):
            os.remove(storage.path + FILLER)


class Library:
    """A read-only file system that has the library, to be imported from."""

    def __init__(self, tree: dict[str, bytes]) -> None:
        self.files = {path.split("/")[-1]: data for path, data in tree.items()}

    def mount(self, readonly: bool, mkfs: bool) -> None:
        pass

    def umount(self) -> None:
        pass

    def stat(self, path: str) -> tuple[int, ...]:
        if path.strip("/") in self.files:
            return (0x8000, 0, 0, 0, 0, 0, len(self.files[path.strip("/")]), 0, 0, 0)
        raise OSError(2)

    def open(self, path: str, mode: str) -> Any:
        import io

        return io.BytesIO(self.files[path.strip("/")])


def read_tree(storages: list[Storage]) -> dict[str, bytes]:
    tree: dict[str, bytes] = {}
    for storage in storages:
        read_folder(storage.path, tree)
    return tree


def read_folder(folder: str, tree: dict[str, bytes]) -> None:
    empty = True
    for entry in os.ilistdir(folder):
        path = folder + "/" + entry[0]
        empty = False
        if entry[1] == 0x4000:
            if not entry[0].startswith(".ota"):
                read_folder(path, tree)
        elif not entry[0].startswith("ota_prev") and not path.endswith(FILLER):
            with open(path, "rb") as source:
                tree[path[1:]] = source.read()
    if empty:
        tree[folder[1:] + "/"] = b"an empty folder"


def difference(tree: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    missing = [path for path in wanted if path not in tree]
    added = [path for path in tree if path not in wanted]
    changed = [path for path in tree if path in wanted and tree[path] != wanted[path]]
    return f"missing {missing}, added {added}, changed {changed}"


def attempt(
    device: Device, name: str, cuts: list[int], snapshot: list[bytes] | None = None
) -> bool:
    """Try an update with these cuts and print what came of it; say whether all were made."""
    try:
        writes = device.run(cuts, snapshot)
    except Exception as error:
        if name == "count":
            raise
        print("job", name, f"LOST {error!r}")
        return True
    if device.all_fired:
        print("job", name, "ok", writes, "without boot.py" if device.lost_boot_py else "")
    return device.all_fired


def fill_the_flash(device: Device) -> None:
    """Let the application's own file grow until the update is refused, and a little more."""
    accepted = refused = 0
    filler_bytes = 0
    while refused < 3:
        try:
            made = device.run_nearly_full(filler_bytes)
        except Exception as error:
            print("job", f"full-{filler_bytes}", f"LOST {error!r}")
            return
        accepted += made
        refused += not made
        filler_bytes += 4096
    print("job full ok", accepted)


def main() -> None:
    kind, scenario, size = sys.argv[2:5]
    device = Device(kind, scenario, size)
    for job in sys.argv[5:]:
        if job == "count":
            attempt(device, job, [])
        elif job == "full":
            fill_the_flash(device)
        elif job.endswith(",*"):
            first = int(job[:-2])
            snapshot = device.run_to_cut(first)
            second = 0
            while snapshot and attempt(device, f"{first},{second}", [second], snapshot):
                second += 1
        else:
            cuts = [int(cut) for cut in job.split(",")]
            if not attempt(device, job, cuts):
                print("job", job, "unfired")


main()
print("done")
