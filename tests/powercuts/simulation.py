"""Runs under MicroPython: an ESP32 with a real file system whose power is cut at will.

    micropython -X heapsize=4m simulation.py DEVICE_FOLDER FILE_SYSTEM SCENARIO SIZE JOB...

JOB is ``count`` (print how many writes there are), or cut points ``K`` or ``K,K2``:
the power goes at write K/2, before it if K is even and half-way through if it is odd,
and again K2 after the power is back. Prints a line for each job.
"""

import gc
import os
import sys

import vfs
from chips import Esp32, FlashChip, Machine, Power, PowerCut, Reset

sys.path.insert(0, sys.argv[1])
sys.path.append("/flash")  # as on boards that have their flash there
LIBRARY = sys.argv[1]
BLOCKS = {"lfs": 4096, "fat": 512, "pycom-fat": 512}
FLASH_BYTES = 320 * 1024
PYCOM_CACHE_BYTES = 4096
MOST_BOOTS = 25


power = Power()
chip = Esp32(power)
sys.modules["esp32"] = chip.module()
sys.modules["machine"] = Machine

import hashlib  # noqa: E402

import ota_draft  # noqa: E402, F401
import ota_esp32  # noqa: E402
import ota_json  # noqa: E402, F401
import ota_manifest  # noqa: E402, F401
import ota_fetch  # noqa: E402, F401
from OTA import OTA  # noqa: E402

# An update drops these from memory; compiling them anew takes long.
DROPPED = {
    name: sys.modules[name]
    for name in ("ota_draft", "ota_fetch", "ota_json", "ota_manifest", "ota_rules")
}


def read_library(name):
    with open(LIBRARY + "/" + name, "rb") as source:
        return source.read()


import ota_boot  # noqa: E402
import ota_recovery  # noqa: E402

BOOT_PY = b"import ota_boot\nota_boot.run()\n"
RECOVERY = read_library("ota_recovery.py")
OLD = {
    "boot.py": BOOT_PY,
    "main.py": b"print('old')\n" * 30,
    "OTA_VERSION.py": b"VERSION = '1.0.0'\n",
    "lib/ota_boot.py": read_library("ota_boot.py"),
    "lib/ota_recovery.py": RECOVERY,
    "lib/OTA.py": b"# a stand-in for the rest of the library\n" * 60,
    "lib/same.py": b"SAME = 1\n",
    "lib/moved.py": b"MOVED = 1\n" * 50,
    "empties/gone.txt": b"gone\n" * 300,
}
NEW = {
    "boot.py": BOOT_PY + b"# new\n",
    "main.py": b"print('new')\n" * 60,
    "OTA_VERSION.py": b"VERSION = '1.0.1'\nFIRMWARE_VERSION = '1.0.1'\n",
    "lib/ota_boot.py": OLD["lib/ota_boot.py"],
    "lib/ota_recovery.py": RECOVERY + b"# new\n",
    "lib/OTA.py": b"# the new stand-in for the rest of the library\n" * 70,
    "lib/same.py": b"SAME = 1\n",
    "moved/deep/moved.py": b"MOVED = 1\n" * 50,
    "new.txt": b"new\n" * 400,
}
SMALL_OLD = {name: OLD[name] for name in OLD if not name.startswith("empties")}
SMALL_NEW = dict(SMALL_OLD)
SMALL_NEW["boot.py"] = NEW["boot.py"]
SMALL_NEW["folder/added.txt"] = b"added\n"
SMALL_NEW["OTA_VERSION.py"] = b"VERSION = '1.0.1'\n"
del SMALL_NEW["lib/moved.py"]
FIRMWARE = b"\xe9" + b"firmware 1.0.1 " * 600


def sha256_hex(data):
    return "".join(f"{byte:02x}" for byte in hashlib.sha256(data).digest())


def manifest(old, new, version, base, firmware):
    def entry(url, content):
        return f'"URL":"http://h{url}","sha256":"{sha256_hex(content)}","size":{len(content)}'

    lists = {"delete": [], "new": [], "update": []}
    for path in sorted(set(old) | set(new)):
        if path == "OTA_VERSION.py" or old.get(path) == new.get(path):
            continue
        if path not in new:
            lists["delete"].append(f'"flash/{path}"')
        else:
            listed = "update" if path in old else "new"
            lists[listed].append(
                '{{"dst_path":"flash/{}",{}}}'.format(path, entry("/" + path, new[path]))
            )
    members = ['"{}":[{}]'.format(name, ",".join(lists[name])) for name in sorted(lists)]
    members.append(f'"version":"{version}","previous_version":"{base}"')
    if firmware:
        members.append('"firmware":{{"version":"{}",{}}}'.format(version, entry("/fw", firmware)))
    return ("{" + ",".join(members) + "}").encode()


class MemoryOTA(OTA):
    """A transport of its own: the server is a dictionary."""

    served = {}

    def connect(self):
        pass

    def open(self, path, offset):
        return Bytes(self.served[path.partition("?")[0]], offset)


class Bytes:
    def __init__(self, data, at):
        self.data = data
        self.at = at

    def readinto(self, buf):
        piece = self.data[self.at : self.at + len(buf)]
        buf[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def close(self):
        pass


COMPILED = (OLD["lib/ota_boot.py"], OLD["lib/ota_recovery.py"], NEW["lib/ota_recovery.py"])


def make_folder(path):
    if path.rpartition("/")[2] not in os.listdir(path.rpartition("/")[0]):
        os.mkdir(path)


def read_or_none(path):
    try:
        with open(path, "rb") as source:
            return source.read()
    except OSError:
        return None


class Device:
    """The device: what lasts over a power cut, and how it starts."""

    def __init__(self, kind, scenario, small):
        self.kind = kind
        self.scenario = scenario
        self.old = SMALL_OLD if small else OLD
        self.new = SMALL_NEW if small else NEW
        self.firmware = None if small else FIRMWARE
        # One boot of trial is quicker, but a cut during it would end it.
        self.trial_boots = 1 if small and scenario != "confirm" else 3
        self.memory = bytearray(FLASH_BYTES)
        self._manufacture()
        self.pristine = bytes(self.memory)
        self.served = {"/" + path: data for path, data in self.new.items()}
        self.served["/fw"] = FIRMWARE
        self.served["/manifest.json"] = manifest(
            self.old, self.new, "1.0.1", "1.0.0", self.firmware
        )

    def _file_system(self, format=False):
        block_bytes = BLOCKS[self.kind]
        unit_bytes = PYCOM_CACHE_BYTES if self.kind == "pycom-fat" else block_bytes
        flash = FlashChip(power, self.memory, block_bytes, unit_bytes)
        make = vfs.VfsLfs2 if self.kind == "lfs" else vfs.VfsFat
        # What the ESP32 port gives LittleFS.
        sizes = {"readsize": 128, "progsize": 128, "lookahead": 128} if self.kind == "lfs" else {}
        if format:
            make.mkfs(flash, **sizes)
        return make(flash, **sizes)

    def _manufacture(self):
        vfs.mount(self._file_system(format=True), "/flash")
        for path, data in self.old.items():
            folder = path.rpartition("/")[0]
            if folder:
                make_folder("/flash/" + folder)
            with open("/flash/" + path, "wb") as made:
                made.write(data)
        vfs.umount("/flash")

    def run(self, cuts):
        """Live through the scenario with these cuts; return how many writes, or complain."""
        self.memory[:] = self.pristine
        chip.record[:] = b"\0\0"
        for slot in chip.slots:
            slot[:] = b"\xe9" + bytes(len(slot) - 1)
        power.cuts = list(cuts)
        power.writes = 0
        power.restore()
        MemoryOTA.served = self.served
        self._trees = None
        for _ in range(MOST_BOOTS):
            if self._boot(self._application):
                writes = power.writes
                self._further_update()
                return writes
        raise AssertionError("never came to an end")

    def _further_update(self):
        power.cuts = []
        tree = self._expected(self._outcome)
        later = dict(tree)
        later["later.txt"] = b"later\n"
        later["main.py"] = b"print('later')\n"
        MemoryOTA.served = {"/" + path: data for path, data in later.items()}
        base = "1.0.1" if self._outcome == "installed" else "1.0.0"
        MemoryOTA.served["/manifest.json"] = manifest(tree, later, "1.0.2", base, None)
        firmware_line = (
            b"FIRMWARE_VERSION = '1.0.1'\n" if b"FIRM" in tree["OTA_VERSION.py"] else b""
        )
        later["OTA_VERSION.py"] = b"VERSION = '1.0.2'\n" + firmware_line
        done = [False]

        def application(ota):
            if ota.confirm():
                done[0] = True
            elif not done[0]:
                ota.update()
            return done[0]

        self._trees = (tree, later)
        for _ in range(4):
            if self._boot(application):
                break
        else:
            raise AssertionError("the further update did not end")
        if self._last_tree != later:
            raise AssertionError("the further update is not what it should be")

    def _boot(self, application):
        """Switch on and run until the power goes, a reset, or the application is done."""
        power.restore()
        chip.start()
        try:
            vfs.mount(self._file_system(), "/flash")
        except OSError as error:
            raise AssertionError(f"no file system any more: {error}") from error
        try:
            return self._run_boot_and_main(application) and power.on
        except (PowerCut, Reset):
            return False
        except Exception:
            # Without power every access fails, in whatever way the code reports that.
            if power.on:
                raise
            return False
        finally:
            power.on = False
            vfs.umount("/flash")
            gc.collect()  # files that the cut left open close on a dead chip

    def _run_boot_and_main(self, application):
        self.boot_py_failed = False
        for name in ("ota_boot", "ota_recovery", "ota_saved"):
            sys.modules.pop(name, None)
            # Compiling them takes most of the time; what is on flash decides all the same.
            if read_or_none("/flash/lib/" + name + ".py") in COMPILED:
                sys.modules[name] = ota_boot if name == "ota_boot" else ota_recovery
        path, sys.path[:] = list(sys.path), ["/flash", "/flash/lib"]
        try:
            with open("/flash/boot.py") as source:
                text = source.read()
            # What boot.py raises would keep main.py from being started, on some ports.
            exec(text, {})
        except (OSError, ImportError, AttributeError, SyntaxError) as error:
            if power.on:
                raise AssertionError(f"boot.py failed: {error!r}") from error
            raise
        finally:
            sys.path[:] = path
        # FAT can lose the content of boot.py while it is replaced: main.py still starts.
        self.boot_py_failed = not text
        sys.modules.update(DROPPED)
        assert ota_recovery.Board().roots["flash"] == "/flash"
        ota = MemoryOTA(board=ota_esp32.Esp32Board(), trial_boots=self.trial_boots)
        if self.boot_py_failed:
            self.lost_boot_py = True
            ota._settle()
        self._last_tree = read_tree("/flash", "")
        self._check(ota)
        return application(ota)

    lost_boot_py = False
    _trees = None
    _last_tree = None
    _outcome = None

    def _check(self, ota):
        trees = self._trees or (self.old, self.new)
        if self._last_tree not in trees:
            raise AssertionError("neither old nor new: " + difference(self._last_tree, trees[1]))
        if self.firmware and not self._trees:
            is_new = self._last_tree == self.new
            image = bytes(chip.slots[chip.running][: len(FIRMWARE)])
            if (image == FIRMWARE) != is_new:
                raise AssertionError("files and firmware do not belong together")

    def _application(self, ota):
        """What main.py does in each scenario; true once the update has come to its end."""
        outcome = ota.outcome()
        if outcome and ota._recovery.state() == "idle":
            self._outcome = outcome[0]
            if self._last_tree != self._expected(outcome[0]):
                raise AssertionError(f"the outcome {outcome} is not what is there")
            wanted = "installed" if self.scenario == "confirm" else "rolled back"
            if outcome[0] != wanted:
                raise AssertionError(f"the outcome is {outcome}")
            return True
        if ota._recovery.state() == "trial":
            self._on_trial(ota)
            return False
        ota.update()
        raise AssertionError("the update did not reset")

    def _on_trial(self, ota):
        if self.scenario == "confirm":
            ota.confirm()
        elif self.scenario == "rollback":
            ota.rollback()

    def _expected(self, outcome):
        return self.new if outcome == "installed" else self.old


def read_tree(folder, prefix):
    tree = {}
    for entry in os.ilistdir(folder):
        name = entry[0]
        if prefix == "" and name == ".ota":
            continue
        if entry[1] == 0x4000:
            below = read_tree(folder + "/" + name, prefix + name + "/")
            if not below:
                tree[prefix + name + "/"] = b"an empty folder"
            tree.update(below)
        elif not name.startswith("ota_saved"):
            with open(folder + "/" + name, "rb") as source:
                tree[prefix + name] = source.read()
    return tree


def difference(tree, wanted):
    missing = [path for path in wanted if path not in tree]
    added = [path for path in tree if path not in wanted]
    changed = [path for path in tree if path in wanted and tree[path] != wanted[path]]
    return f"missing {missing}, added {added}, changed {changed}"


def main():
    kind, scenario, size = sys.argv[2:5]
    device = Device(kind, scenario, size == "small")
    for job in sys.argv[5:]:
        cuts = [] if job == "count" else [int(cut) for cut in job.split(",")]
        device.lost_boot_py = False
        try:
            writes = device.run(cuts)
            result = "ok {}{}".format(writes, " without boot.py" if device.lost_boot_py else "")
        except Exception as error:
            result = f"LOST {error!r}"
        print("job", job, result)


main()
