"""Completes an update, counts its trial and rolls it back; needs no other module at boot.

An update prepares everything under ``.ota`` and then writes the journal. The journal is
valid once its last line is there: ``end`` and the SHA-256 of the lines before it. From then
on the update is applied again at each boot until it is complete. No file is renamed:
contents are copied from a store, where they are named by SHA-256. An interrupted copy is
simply repeated, and on FAT no cluster chain ever has two names.

``flash/.ota`` holds ``journal`` and ``outcome``; ``.ota`` on each root holds the new and
the old contents. The journal has a header (see ota_journal), one line per entry (path, new
SHA-256, new size, old SHA-256, old size; tab-separated), the line ``end``, and then notes:
``trial`` once the update is applied, ``boot`` for each boot on trial, ``switched`` for each
one with the wrong firmware, ``back`` with the reason for a rollback, ``tried`` and
``switch`` for each attempt to restore the files and to switch the slot. A note adds no name
to a folder, which FAT could lose, and disappears together with the journal.
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
# The library's files besides contents, journal and outcome.
OWN = ("draft", "manifest", "source", "slot")
HASH_DIGITS = 24
ENTRY_FIELDS = 5
# Keeps timers referenced: some ports would collect them, and no alarm would go off.
ALARMS = []


def exists(path):
    """Return whether there is a file or folder at ``path``."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def first_names(folder, wanted, most):
    """Return some of the names in a folder; an unreadable folder has none.

    Args:
        folder: its path.
        wanted: function of a name that returns whether to include it.
        most: the largest number of names to return.
    """
    found = []
    try:
        # ilistdir if available: a list of all names grows with the update. It must be
        # read to its end, since older LittleFS ports leave the folder open otherwise.
        entries = os.ilistdir(folder) if hasattr(os, "ilistdir") else os.listdir(folder)
        for entry in entries:
            name = entry if isinstance(entry, str) else entry[0]
            if len(found) < most and wanted(name):
                found.append(name)
    except (OSError, ValueError):
        pass  # no such folder, or garbage names on a damaged FAT
    return found


def is_folder(path):
    """Return whether there is a folder at ``path``."""
    return exists(path) and os.stat(path)[0] & 0x4000 != 0


def remove(path):
    """Remove the file at ``path`` if there is one, but no folder, as some ports would."""
    if exists(path) and not is_folder(path):
        os.remove(path)


def make_folders(path, root):
    """Create the parent folders of a file.

    Args:
        path: of the file.
        root: path of the file system's root, which exists.
    """
    at = path.find("/", len(root) + 1)
    while at > 0:
        if not exists(path[:at]):
            os.mkdir(path[:at])
        at = path.find("/", at + 1)


def file_sha256(path, buf):
    """Return the SHA-256 of a file in hex, None if it can't be opened.

    Args:
        path: of the file.
        buf: bytearray to read through.
    """
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
    """Copy a file; OSError if it fails or the content has another SHA-256.

    Args:
        source_path, target_path: of the two files; the target is overwritten.
        sha256: expected, in hex.
        buf: bytearray to copy through.
    """
    with open(source_path, "rb") as source:
        with open(target_path, "wb") as target:
            digest = _pour(source, target, buf)
    if digest != sha256:
        raise OSError("{} is damaged".format(source_path))


def _pour(source, target, buf):
    view = memoryview(buf)
    # Pycom allows one hash at a time; one without a digest blocks all others for good.
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
    """Iterates over the lines of a file that have a given number of tab-separated fields.

    Not a generator: ``with`` closes the file even if the loop raises.

    Args:
        path: of the file.
        count: number of fields; other lines are skipped.
    """

    def __init__(self, path, count):
        self._count = count
        self._file = open(path, "rb")

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            line = self._file.readline()
            # After the journal's end come notes, any of which may be damaged.
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
    """A MicroPython board that updates files only; the interface of all boards.

    ``roots`` maps the roots of a release's paths to paths on the device; ``takes_firmware``
    tells whether firmware can be updated.
    """

    takes_firmware = False

    def __init__(self):
        # Not decided by whether a folder /flash exists: an application may create one.
        self.roots = {"flash": "/flash" if "/flash" in sys.path else "", "sd": "/sd"}

    def running_slot(self):
        """Return the name of the slot of the running firmware."""
        return NONE

    def boot_slot(self, name):
        """Select the slot for the next boot; may reset at once. OSError if that fails.

        Args:
            name: of the slot.
        """

    def keep_slot(self):
        """Tell the bootloader that the running firmware works."""

    def feed_watchdog(self):
        """Do nothing; called regularly during an update, even while waiting for data."""

    def sync(self):
        """Flush everything written to flash."""
        if hasattr(os, "sync"):
            os.sync()

    def reset(self):
        """Reset the device; does not return."""
        import machine

        machine.reset()

    def alarm(self, delay_s, callback):
        """Call a function after a delay, whatever the application is doing then.

        Args:
            delay_s: delay in seconds.
            callback: function without arguments.
        """
        from machine import Timer

        for number in (-1, 3, 1):  # a virtual timer, else the last one that the chip has
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
    """A stock ESP32, with two OTA slots if its partition table has them.

    Source: "Over The Air Updates (OTA)" in the ESP-IDF Programming Guide.
    """

    takes_firmware = True

    def running_slot(self):
        """Return the label of the running firmware's partition."""
        from esp32 import Partition

        return Partition(Partition.RUNNING).info()[4]

    def boot_slot(self, name):
        """See Board.boot_slot; set_boot validates the image."""
        from esp32 import Partition

        Partition.find(Partition.TYPE_APP, label=name)[0].set_boot()

    def keep_slot(self):
        """Cancel the bootloader's rollback."""
        from esp32 import Partition

        # Since 1.13; before that the bootloader doesn't roll back by itself either.
        try:
            if hasattr(Partition, "mark_app_valid_cancel_rollback"):
                Partition.mark_app_valid_cancel_rollback()
        except OSError:
            pass  # an image in the factory partition needs no confirmation


class Pycom(Board):
    """A Pycom board: two slots, and a bootloader that never rolls back by itself."""

    takes_firmware = True

    def running_slot(self):
        """Return "Factory" or "ota_0"."""
        import pycom

        return pycom.bootmgr()[0]

    def boot_slot(self, name):
        """See Board.boot_slot; resets at once."""
        import pycom

        chosen = pycom.FACTORY if name == "Factory" else pycom.OTA_0
        try:
            pycom.bootmgr(boot_partition=chosen, reset=True)
        except ValueError as error:
            raise OSError(str(error))

    def alarm(self, delay_s, callback):
        """See Board.alarm."""
        from machine import Timer

        ALARMS.append(Timer.Alarm(lambda alarm: callback(), delay_s))


def find_board():
    """Detect the board and return its boot-time part."""
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
    """An update once its journal is written. A power cut may interrupt any method anywhere.

    ``header`` has the fields of the journal's first line, None without a valid journal;
    ``notes`` counts each kind of note; ``reason`` is why the update is rolled back; ``roots``
    are those of the update, which the application may have added to the board's. Methods
    raise OSError if a file system fails.

    Args:
        board: a Board.
        log: called with each message, one line of text.
    """

    def __init__(self, board, log=None):
        self.board = board
        self.log = log or _no_log
        self.folder = board.roots["flash"] + "/" + FOLDER
        self.journal = self.folder + "/journal"
        self.header = None
        self.notes = {}
        self.reason = None
        self.roots = board.roots

    def state(self):
        """Read the journal and return "idle", "installing", "trial" or "back"."""
        self._read()
        if self.header is None:
            return "idle"
        if b"back" in self.notes:
            return "back"
        return "trial" if b"trial" in self.notes else "installing"

    def absolute(self, path):
        """Return the path on the device for the path of a release."""
        root, rest = path.split("/", 1)
        return self.roots[root] + "/" + rest

    def stored(self, path, sha256):
        """Return the path of a stored content.

        Args:
            path: of a file in the release; its content is stored on the same file system.
            sha256: of the content, in hex.
        """
        folder = self.roots[path.split("/", 1)[0]]
        return "{}/{}/{}".format(folder, FOLDER, sha256[:HASH_DIGITS])

    def drafted(self):
        """Return the Lines of the draft; see ota_draft."""
        return Lines(self.folder + "/draft", ENTRY_FIELDS + 1)

    def at_boot(self):
        """Continue an interrupted update or trial; return the state unless the device resets."""
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
        """Apply the journal and start the trial; False if it has to be rolled back."""
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

    def go_back(self, reason="requested"):
        """Restore the old release and end the update; may reset the device.

        Args:
            reason: for the outcome.
        """
        if b"back" not in self.notes:
            self.note(b"back", reason)
        self.log("update: going back")
        self._keep_recovery()
        reason = self.reason
        try:
            self._carry_out(3)
        except OSError as error:
            self.log("update: {}".format(error))
            # A card may work again after a reset, but the device can't wait for ever.
            if self.note(b"tried") < ATTEMPTS:
                self.board.reset()
            reason += "; not all could be restored: {}".format(error)
        slot = self.header[5]
        if slot not in (NONE, self.board.running_slot()):
            if self.note(b"switch") <= ATTEMPTS:
                self.board.boot_slot(slot)
                self.board.reset()
            self.log("update: the old firmware does not start; the new one stays")
        elif slot != NONE:
            # The old image was selected again, so the bootloader treats it as new.
            self.board.keep_slot()
        self.end("rolled back", reason)

    def count_boot(self):
        """Count a boot on trial: roll back after the last; reset if the firmware is wrong."""
        limit = int(self.header[3])
        in_place = self.header[4] in (NONE, self.board.running_slot())
        # A boot with the wrong firmware counts apart: the application doesn't run in it.
        if self.note(b"boot" if in_place else b"switched") > limit:
            self.go_back("not confirmed in {} boots".format(limit))
            self.board.reset()
        elif not in_place:
            # Power failed before the switch, or the bootloader rolled back: switch again.
            try:
                self.board.boot_slot(self.header[4])
            except OSError as error:
                self.go_back("the firmware does not start: {}".format(error))
            self.board.reset()

    def confirm(self):
        """End the trial and keep the new release; resets if its firmware isn't running."""
        slot = self.header[4]
        if slot not in (NONE, self.board.running_slot()):
            self.count_boot()
        if slot != NONE:
            self.board.keep_slot()
        self.end("installed", "")

    def outcome(self):
        """Return (result, version, previous version, reason) of the last update, or None.

        The result is "installed" or "rolled back".
        """
        try:
            with open(self.folder + "/outcome", "r") as record:
                fields = record.read().split("\t")
        except (OSError, ValueError):
            return None
        return tuple(fields) if len(fields) == 4 else None

    def expire(self):
        """Reset the device, since the trial's time is over, unless the trial has ended."""
        if exists(self.journal):
            self.board.reset()

    def note(self, name, text=""):
        """Append a note to the journal.

        Args:
            name: kind of note, as bytes.
            text: what it says.

        Returns how many notes of this kind there are now. OSError if it can't be stored.
        """
        before = self.notes.get(name, 0)
        # Start with a line end: the last note may be incomplete.
        line = b"\n" + name + b"\t" + text.encode() + b"\n"
        try:
            self._append(line)
        except OSError:
            # The release may have filled the flash: remove what only the download needed.
            for unneeded in OWN:
                remove(self.folder + "/" + unneeded)
            self._append(line)
        self.board.sync()
        self._read()
        # Don't go on with something that the next boot would not know about.
        if self.notes.get(name, 0) <= before:
            raise OSError("the journal did not keep a note")
        return before + 1

    def _append(self, line):
        with open(self.journal, "ab") as journal:
            journal.write(line)

    def _read(self):
        """Read the journal: whether it is valid, and its notes."""
        self.header = None
        self.notes = {}
        self.roots = self.board.roots
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
            # Kept in the journal, so that boot.py can't have others than the update had.
            self.roots = dict(self.roots)
            for field in self.header[6:]:
                self.roots.update([field.split("=", 1)])
            while line:
                line = journal.readline()
                note = line.rstrip(b"\n").split(b"\t", 1)
                if len(note) < 2:
                    continue  # incomplete
                self.notes[note[0]] = self.notes.get(note[0], 0) + 1
                if note[0] == b"back":
                    try:
                        self.reason = note[1].decode()
                    except ValueError:
                        self.reason = ""  # incomplete

    def _entries(self):
        # The header and the last line have other numbers of fields.
        return Lines(self.journal, ENTRY_FIELDS)

    def _carry_out(self, column):
        """Bring every entry to its new state (column 1) or its old one (column 3)."""
        failure = None
        buf = bytearray(1024)
        # Removals first, to free space.
        for removals in (True, False):
            with self._entries() as entries:
                for fields in entries:
                    self.board.feed_watchdog()
                    try:
                        if (fields[column] == NONE) == removals:
                            self._carry_out_one(fields, column, buf)
                    except OSError as error:
                        failure = error  # still try the others
        self.board.sync()
        if failure:
            raise failure

    def _carry_out_one(self, fields, column, buf):
        root = self.roots[fields[0].split("/", 1)[0]]
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
        make_folders(target, self.roots[path.split("/", 1)[0]])
        copy_file(self.stored(path, sha256), target, sha256, buf)

    def _remove(self, path):
        remove(self.absolute(path))
        parent = path[: path.rfind("/")]
        try:
            while "/" in parent:
                # An earlier attempt may have removed this one: continue with its parent.
                if exists(self.absolute(parent)):
                    os.rmdir(self.absolute(parent))
                parent = parent[: parent.rfind("/")]
        except OSError:
            pass  # not empty

    def _recovery_copies(self):
        """Return (path, path of its copy, valid hashes) for each recovery module replaced."""
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
            # A valid copy may be the only one left: replace only a torn or missing copy.
            sha256 = file_sha256(path, buf)
            if file_sha256(copy, buf) not in whole and sha256 in whole:
                copy_file(path, copy, sha256, buf)
        self.board.sync()

    def end(self, result, reason):
        """End the update: record the outcome and clean up. Removing the journal commits it.

        Args:
            result: "installed" or "rolled back".
            reason: why it was rolled back, else "".
        """
        _, version, previous_version = self.header[:3]
        for _, copy, _ in self._recovery_copies():
            remove(copy)
        with open(self.folder + "/outcome", "w") as record:
            record.write("\t".join((result, version, previous_version, reason)))
        self.board.sync()
        os.remove(self.journal)
        self.board.sync()
        # The old contents go last: a rollback needs them as long as there is a journal.
        self.clear()
        self.log("update: {} {}".format(result, version))

    def clear(self, kept=()):
        """Remove the library's own files except the journal, the outcome and ``kept``.

        Anything else stays: a garbage name on a damaged FAT may refer to clusters in use.
        Names with "~" are what FAT leaves of a long name if a power cut interrupts its removal.

        Args:
            kept: names of files to keep.
        """
        for root in self.roots.values():
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
            self.log("update: can't remove {}: {}".format(path, error))
            return False
        return True


def _is_own(name):
    return len(name) == HASH_DIGITS or name in OWN or "~" in name


def recover(board=None, log=None, trial_s=TRIAL_S):
    """Continue an update that a reset interrupted; called first thing in boot.py.

    Args:
        board: a Board; None to detect it.
        log: called with each message, one line of text.
        trial_s: seconds after which the device resets unless the release on trial has been
            confirmed; 0 for never.

    Returns "idle", "trial" while a release is waiting for confirm(), or "failed". Never
    raises, as the device must start: errors are logged and left to the next boot, which
    the alarm brings about after ``trial_s`` at the latest.
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
            log("update: can't set the alarm: {}".format(repr(error)))
    return state or "failed"
