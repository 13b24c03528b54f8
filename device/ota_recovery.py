"""Finishes, judges or undoes an update; runs at boot with nothing else of the library in place.

An update prepares everything under ``.ota`` and then writes the journal, which
counts once its line ``end``, the SHA-256 of those before, is there. From then on the
update is carried out again and again until it is whole. No file is renamed:
contents are copied from a store by hash, so a copy cut short is made once more,
and FAT never gets two names for one chain of clusters.

In ``flash/.ota``: ``journal`` and ``outcome``. In ``.ota`` of each root: contents, new
and old, named by their hash. Behind its end the journal grows by notes, a line each:
``trial`` once it is carried out, ``boot`` for each boot on trial, ``switched`` for each
with the wrong firmware, ``back`` with the reason to go back, ``tried`` and ``switch`` for
each attempt at that. A note needs no new name in a folder, which FAT can lose, and goes
in one step with the journal.
"""

import os
import sys

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

FOLDER = ".ota"
VERSION_RECORD = "flash/OTA_VERSION.py"
NONE = "-"
ATTEMPTS = 3
TRIAL_S = 3600
# Beside the contents, the journal and the outcome.
OWN = ("draft", "manifest", "source", "slot")
HASH_DIGITS = 24
ENTRY_FIELDS = 5
# A timer that nothing refers to is collected on some ports, and its alarm with it.
ALARMS = []


def exists(path):
    """Say whether there is a file or folder at ``path``."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def first_names(folder, wanted, most):
    """Return up to ``most`` of the names in a folder that ``wanted`` says yes to."""
    found = []
    try:
        # ilistdir where there is one: a list of all names grows with the update. It
        # must be read to its end: older LittleFS ports leave it open otherwise.
        entries = os.ilistdir(folder) if hasattr(os, "ilistdir") else os.listdir(folder)
        for entry in entries:
            name = entry if isinstance(entry, str) else entry[0]
            if len(found) < most and wanted(name):
                found.append(name)
    except (OSError, ValueError):
        pass  # no such folder, or names that FAT made up
    return found


def is_folder(path):
    """Say whether there is a folder at ``path``."""
    return exists(path) and os.stat(path)[0] & 0x4000 != 0


def remove(path):
    """Remove a file where there is one; some ports would remove an empty folder, too."""
    if exists(path) and not is_folder(path):
        os.remove(path)


def make_folders(path, root):
    """Make the folders that ``path``, below ``root``, lies in."""
    at = path.find("/", len(root) + 1)
    while at > 0:
        if not exists(path[:at]):
            os.mkdir(path[:at])
        at = path.find("/", at + 1)


def file_sha256(path, buf):
    """Return the SHA-256 of a file in hex, None where there is no such file."""
    try:
        source = open(path, "rb")
    except OSError:
        return None
    with source:
        return _pour(source, None, buf)


def sha256_hex(data):
    """Return the SHA-256 of ``data`` in hex."""
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


def copy_file(source_path, target_path, sha256, buf):
    """Copy a file; OSError if what arrives does not have this SHA-256."""
    with open(source_path, "rb") as source:
        with open(target_path, "wb") as target:
            digest = _pour(source, target, buf)
    if digest != sha256:
        raise OSError("{} is damaged".format(source_path))


def _pour(source, target, buf):
    view = memoryview(buf)
    # Pycom has one hash at a time, and one left undigested blocks the next for ever.
    sha256 = hashlib.sha256()
    try:
        while True:
            count = source.readinto(buf)
            if not count:
                break
            sha256.update(view[:count])
            if target:
                target.write(view[:count])
    finally:
        digest = sha256.digest()
    return binascii.hexlify(digest).decode()


class Lines:
    """The tab-separated fields of a file's lines, those that have so many of them.

    No generator: what a loop leaves open by an exception, ``with`` closes.
    """

    def __init__(self, path, count):
        self._count = count
        self._file = open(path, "rb")

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            line = self._file.readline()
            # What follows the journal's end are notes, of which any may be damaged.
            if not line or line.startswith(b"end\t"):
                raise StopIteration
            fields = line.rstrip(b"\n").split(b"\t")
            if len(fields) == self._count:
                return [field.decode() for field in fields]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


class Board:
    """A MicroPython board that takes files only; the interface of all boards.

    ``roots``: where the paths of a release lie on this device.
    ``takes_firmware``: whether there is a second slot to write a firmware to.
    """

    takes_firmware = False

    def __init__(self):
        # Not by whether there is a folder of that name: an application may make one.
        self.roots = {"flash": "/flash" if "/flash" in sys.path else "", "sd": "/sd"}

    def running_slot(self):
        """Return the name of the slot that the running firmware is in."""
        return NONE

    def boot_slot(self, name):
        """Make the next boot start from a slot; may reset at once. OSError if it won't."""

    def keep_slot(self):
        """Tell the bootloader that the running firmware is good."""

    def feed_watchdog(self):
        """Nothing; called every now and then, also while nothing comes."""

    def sync(self):
        """Make sure that what was written is on the flash."""
        if hasattr(os, "sync"):
            os.sync()

    def reset(self):
        """Start the device anew. Does not return."""
        import machine

        machine.reset()

    def alarm(self, delay_s, callback):
        """Have ``callback()`` called after a time, whatever the application does until then."""
        from machine import Timer

        for number in (-1, 3, 1):  # a virtual one, else the last that the chip has
            try:
                timer = Timer(number)
            except ValueError:
                continue
            timer.init(
                mode=Timer.ONE_SHOT, period=delay_s * 1000, callback=lambda timer: callback()
            )
            ALARMS.append(timer)
            return


class Esp32(Board):
    """A stock ESP32, with two slots if its partition table has them."""

    takes_firmware = True

    def running_slot(self):
        from esp32 import Partition

        return Partition(Partition.RUNNING).info()[4]

    def boot_slot(self, name):
        from esp32 import Partition

        Partition.find(Partition.TYPE_APP, label=name)[0].set_boot()

    def keep_slot(self):
        from esp32 import Partition

        # Since 1.13; without it the bootloader doesn't go back by itself either.
        try:
            if hasattr(Partition, "mark_app_valid_cancel_rollback"):
                Partition.mark_app_valid_cancel_rollback()
        except OSError:
            pass  # an image at the factory's place has nothing to confirm


class Pycom(Board):
    """A Pycom board: two slots, and a bootloader that never goes back by itself."""

    takes_firmware = True

    def running_slot(self):
        import pycom

        return pycom.bootmgr()[0]

    def boot_slot(self, name):
        import pycom

        chosen = pycom.FACTORY if name == "Factory" else pycom.OTA_0
        try:
            pycom.bootmgr(boot_partition=chosen, reset=True)
        except ValueError as error:
            raise OSError(str(error))

    def alarm(self, delay_s, callback):
        from machine import Timer

        ALARMS.append(Timer.Alarm(lambda alarm: callback(), delay_s))


def find_board():
    """Return the boot side of the board that this runs on."""
    try:
        import pycom  # noqa: F401

        return Pycom()
    except ImportError:
        pass
    try:
        import esp32  # noqa: F401

        return Esp32()
    except ImportError:
        return Board()


def _no_log(message):
    pass


class Recovery:
    """The way of an update from its journal on. Any method may be cut short at any moment.

    ``header``: the journal's first line, None where no journal is whole; ``notes``: how
    often the journal has each note; ``reason``: why the device goes back.
    """

    def __init__(self, board, log=None):
        self.board = board
        self.log = log or _no_log
        self.folder = board.roots["flash"] + "/" + FOLDER
        self.journal = self.folder + "/journal"
        self.header = None
        self.notes = {}
        self.reason = None

    def state(self):
        """Read the journal and return "idle", "installing", "trial" or "back"."""
        self._read()
        if self.header is None:
            return "idle"
        if b"back" in self.notes:
            return "back"
        return "trial" if b"trial" in self.notes else "installing"

    def absolute(self, path):
        """Return where a release's path lies on this device."""
        root, rest = path.split("/", 1)
        return self.board.roots[root] + "/" + rest

    def stored(self, path, sha256):
        """Return where the contents with this hash are kept, on the file system of ``path``."""
        folder = self.board.roots[path.split("/", 1)[0]]
        return "{}/{}/{}".format(folder, FOLDER, sha256[:HASH_DIGITS])

    def drafted(self):
        """Return the Lines of the draft, see ota_draft."""
        return Lines(self.folder + "/draft", ENTRY_FIELDS + 1)

    def at_boot(self):
        """Go on with what the last boot left; returns the state, unless the device resets."""
        state = self.state()
        if state == "idle":
            return state
        self.log("update: {}".format(state))
        if state == "trial":
            self.count_boot()
            return state
        if state == "back" or not self.install():
            self.go_back()
        self.board.reset()
        return state

    def install(self):
        """Carry the journal out and start the trial; False if the device has to go back."""
        try:
            self._keep_recovery()
            self._carry_out(1)
            self.note(b"trial")
            slot = self.header[4]
            if slot not in (NONE, self.board.running_slot()):
                self.board.boot_slot(slot)
        except OSError as error:
            self.note(b"back", "install failed: {}".format(error))
            return False
        return True

    def go_back(self, reason="asked"):
        """Put everything back as it was before the journal, and forget the journal."""
        if b"back" not in self.notes:
            self.note(b"back", reason)
        self.log("update: going back")
        self._keep_recovery()
        reason = self.reason
        try:
            self._carry_out(3)
        except OSError as error:
            self.log("update: {}".format(error))
            # A card may answer after a reset; the device can't wait for it for ever.
            if self.note(b"tried") < ATTEMPTS:
                self.board.reset()
            reason += "; not all could be put back: {}".format(error)
        slot = self.header[5]
        if slot not in (NONE, self.board.running_slot()):
            if self.note(b"switch") <= ATTEMPTS:
                self.board.boot_slot(slot)
                self.board.reset()
            self.log("update: the old firmware does not start; the new one stays")
        elif slot != NONE:
            # The bootloader takes the old image for a new one, since it was chosen anew.
            self.board.keep_slot()
        self.end("rolled back", reason)

    def count_boot(self):
        """Count a boot on trial: go back after the last, see to the firmware before that."""
        limit = int(self.header[3])
        in_place = self.header[4] in (NONE, self.board.running_slot())
        # A boot that has the wrong firmware is none of the application's.
        if self.note(b"boot" if in_place else b"switched") > limit:
            self.go_back("not confirmed in {} boots".format(limit))
            self.board.reset()
        elif not in_place:
            # Cut before the switch, or the bootloader went back: once more.
            try:
                self.board.boot_slot(self.header[4])
            except OSError as error:
                self.go_back("the firmware does not start: {}".format(error))
            self.board.reset()

    def confirm(self):
        """End the trial: the new release stays. Without the new firmware, see count_boot."""
        slot = self.header[4]
        if slot not in (NONE, self.board.running_slot()):
            self.count_boot()
        if slot != NONE:
            self.board.keep_slot()
        self.end("installed", "")

    def outcome(self):
        """Return (result, version, previous version, reason) of the last update, or None."""
        try:
            with open(self.folder + "/outcome", "r") as record:
                fields = record.read().split("\t")
        except (OSError, ValueError):
            return None
        return tuple(fields) if len(fields) == 4 else None

    def expire(self):
        """The time of the trial is over: reset unless it has ended."""
        if exists(self.journal):
            self.board.reset()

    def note(self, name, text=""):
        """Add a note to the journal; return how often it is there now."""
        before = self.notes.get(name, 0)
        # A line end before it, too: the last note may have been cut short.
        line = b"\n" + name + b"\t" + text.encode() + b"\n"
        try:
            self._append(line)
        except OSError:
            # The release may have filled the flash: what only the download needed makes room.
            for unneeded in OWN:
                remove(self.folder + "/" + unneeded)
            self._append(line)
        self.board.sync()
        self._read()
        # What is to come must not begin if the next boot would not know of it.
        if self.notes.get(name, 0) <= before:
            raise OSError("the journal does not keep what is written")
        return before + 1

    def _append(self, line):
        with open(self.journal, "ab") as journal:
            journal.write(line)

    def _read(self):
        """Read the journal: whether it is whole, and its notes."""
        self.header = None
        self.notes = {}
        if not exists(self.journal):
            return
        header = None
        with open(self.journal, "rb") as journal:
            sha256 = hashlib.sha256()
            try:
                line = journal.readline()
                while line and not line.startswith(b"end\t"):
                    sha256.update(line)
                    header = header or line
                    line = journal.readline()
            finally:
                digest = binascii.hexlify(sha256.digest())
            if not header or line != b"end\t" + digest + b"\n":
                return
            self.header = header.decode().rstrip("\n").split("\t")
            while line:
                line = journal.readline()
                note = line.rstrip(b"\n").split(b"\t", 1)
                if len(note) < 2:
                    continue  # cut short
                self.notes[note[0]] = self.notes.get(note[0], 0) + 1
                if note[0] == b"back":
                    try:
                        self.reason = note[1].decode()
                    except ValueError:
                        self.reason = ""  # cut short

    def _entries(self):
        # The header and the end have another number of fields.
        return Lines(self.journal, ENTRY_FIELDS)

    def _carry_out(self, column):
        """Bring every entry to one side of the journal: 1 is the new one, 3 the old one."""
        failure = None
        buf = bytearray(1024)
        # Removals first: they make room.
        for removals in (True, False):
            with self._entries() as entries:
                for fields in entries:
                    self.board.feed_watchdog()
                    try:
                        if (fields[column] == NONE) == removals:
                            self._carry_out_one(fields, column, buf)
                    except OSError as error:
                        failure = error  # the others are still worth it
        self.board.sync()
        if failure:
            raise failure

    def _carry_out_one(self, fields, column, buf):
        root = self.board.roots[fields[0].split("/", 1)[0]]
        if root and not exists(root):
            raise OSError("there is no {}".format(root))
        if fields[column] == NONE:
            self._remove(fields[0])
        else:
            self._put(fields[0], fields[column], int(fields[column + 1]), buf)

    def _put(self, path, sha256, size, buf):
        target = self.absolute(path)
        if exists(target) and os.stat(target)[6] == size and file_sha256(target, buf) == sha256:
            return
        make_folders(target, self.board.roots[path.split("/", 1)[0]])
        copy_file(self.stored(path, sha256), target, sha256, buf)

    def _remove(self, path):
        remove(self.absolute(path))
        parent = path[: path.rfind("/")]
        try:
            while "/" in parent:
                # A cut may have come between two of these: go on above what is gone.
                if exists(self.absolute(parent)):
                    os.rmdir(self.absolute(parent))
                parent = parent[: parent.rfind("/")]
        except OSError:
            pass  # not empty

    def _recovery_copies(self):
        """Return (path, path of its copy, whole hashes) for each recovery code replaced."""
        copies = []
        with self._entries() as entries:
            for fields in entries:
                path = self.absolute(fields[0])
                at = path.rfind("/ota_recovery.")
                if at >= 0 and path.rfind("/") == at:
                    copy = path[:at] + "/ota_prev" + path[path.rfind(".") :]
                    copies.append((path, copy, (fields[1], fields[3])))
        return copies

    def _keep_recovery(self):
        buf = bytearray(512)
        for path, copy, whole in self._recovery_copies():
            # A whole copy may be all there is: only a torn or missing one is made anew.
            sha256 = file_sha256(path, buf)
            if file_sha256(copy, buf) not in whole and sha256 in whole:
                copy_file(path, copy, sha256, buf)
        self.board.sync()

    def end(self, result, reason):
        """Keep the outcome and forget everything else; removing the journal decides it."""
        _, version, previous_version = self.header[:3]
        for _, copy, _ in self._recovery_copies():
            remove(copy)
        with open(self.folder + "/outcome", "w") as record:
            record.write("\t".join((result, version, previous_version, reason)))
        self.board.sync()
        os.remove(self.journal)
        self.board.sync()
        # The contents to go back to are the last to go.
        self.clear()
        self.log("update: {} {}".format(result, version))

    def clear(self, kept=()):
        """Remove what the library keeps in its folders, but for the outcome and ``kept``.

        Nothing else: a name that FAT made up may lead to clusters that are in use. One with
        a tilde is what FAT leaves of a long name when it is cut while removing that.
        """
        for root in self.board.roots.values():
            folder = root + "/" + FOLDER
            removed = True
            while removed:
                removed = False
                for name in first_names(folder, _is_own, 16):
                    self.board.feed_watchdog()
                    if name not in kept:
                        removed = self._try_to_remove(folder + "/" + name) or removed

    def _try_to_remove(self, path):
        try:
            os.remove(path)
        except OSError as error:
            self.log("update: {} stays: {}".format(path, error))
            return False
        return True


def _is_own(name):
    return len(name) == HASH_DIGITS or name in OWN or "~" in name


def recover(board=None, log=None, trial_s=TRIAL_S):
    """Go on with an update that a reset cut short; call it first thing in boot.py.

    Returns "idle", or "trial" while a new release waits for confirm(); not confirmed after
    ``trial_s`` (0: never), the device resets. What fails is logged and left for the next
    boot, which comes then at the latest: whatever it is, the device must start.
    """
    log = log or _no_log
    recovery = state = None
    try:
        recovery = Recovery(board or find_board(), log)
        state = recovery.at_boot()
    except Exception as error:
        log("update: recovery failed: {}".format(repr(error)))
    if trial_s and recovery and state != "idle" and exists(recovery.journal):
        try:
            recovery.board.alarm(trial_s, recovery.expire)
        except Exception as error:
            log("update: no alarm: {}".format(repr(error)))
    return state or "failed"
