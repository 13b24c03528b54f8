"""The journal of an update; part of recovery, see ota_recovery.

docs/device-journal.md specifies its format and states, and argues why each power cut is
survived. Nothing else reads or appends to the journal, except that ota_commit writes it and
ota_recovery notes that it couldn't load this module.
"""

from ota_files import (
    ENTRY_FIELDS,
    FOLDER,
    NONE,
    OWN,
    ROOM,
    Layout,
    Lines,
    binascii,
    exists,
    hashlib,
    remove,
)

FORMAT = "ota 2"
FIRST_FORMAT = "ota 1"
# Fields of the header that begin with this are options, any others are roots.
OPTION = "+"
MOVE = OPTION + "move"
IDENTITY = OPTION + "id"


class Journal(Layout):
    """The journal: what is to be done, and notes of what has been done.

    After state() has found a valid journal, the fields of its header are attributes:
    ``format``, ``version`` and ``previous_version``, ``trial_boots``, ``new_slot`` and
    ``old_slot``; ``roots``, which the application may have added to the board's; and
    ``moving``, the names of those where files are renamed into place; ``identity`` is what the
    release is recognized by. ``notes`` counts each kind of note; ``reason`` is why the update
    is rolled back.
    Methods raise OSError if a file system fails.

    Args:
        board: a Board, see ota_ports.
        log: called with each message, one line of text.
    """

    def __init__(self, board, log=None):
        super().__init__(board, log)
        self._forget()

    def _forget(self):
        self.version = None
        self.notes = {}
        self.reason = None
        self.roots = self.board.roots
        self.moving = []
        self.identity = ""

    def state(self):
        """Read the journal and return "idle", "installing", "trial" or "back"."""
        self._forget()
        if exists(self.path):
            with open(self.path, "rb") as lines:
                header = _valid_header(lines)
                if header:
                    self._read_header(header)
                    self._read_notes(lines)
        if self.version is None:
            return "idle"
        if "back" in self.notes:
            return "back"
        return "trial" if "trial" in self.notes else "installing"

    def _read_header(self, fields):
        form, version, previous_version, boots, new_slot, old_slot = fields[:6]
        if form not in (FORMAT, FIRST_FORMAT):
            raise OSError("the journal has the format {}, which is unknown".format(form))
        roots = dict(self.board.roots)
        moving = []
        for field in fields[6:]:
            name, value = field.split("=", 1)
            if not name.startswith(OPTION):
                # Kept in the journal, so that boot.py can't have others than the update had.
                roots[name] = value
            elif name == MOVE:
                moving.append(value)
            elif name == IDENTITY:
                self.identity = value
            else:
                raise OSError("the journal has the option {}, which is unknown".format(field))
        self.format, self.version, self.previous_version = form, version, previous_version
        self.trial_boots, self.new_slot, self.old_slot = int(boots), new_slot, old_slot
        self.roots, self.moving = roots, moving

    def _read_notes(self, lines):
        line = lines.readline()
        while line:
            note = line.rstrip(b"\n").split(b"\t", 1)
            if len(note) > 1:  # else incomplete
                name = _text(note[0])
                self.notes[name] = self.notes.get(name, 0) + 1
                if name == "back":
                    self.reason = _text(note[1])
            line = lines.readline()

    def count(self, name):
        """Return how many notes of a kind there are.

        Args:
            name: kind of note.
        """
        return self.notes.get(name, 0)

    def note(self, name, text="", also=None):
        """Append a note.

        Args:
            name: kind of note.
            text: what it says.
            also: kind of a second note, written with the first since each write wears the flash.

        Returns how many notes of this kind there are now. OSError if it can't be stored.
        """
        before = self.count(name)
        # Start with a line end: the last note may be incomplete.
        line = "\n{}\t{}\n".format(name, text).encode()
        if also:
            line += "\n{}\t\n".format(also).encode()
        try:
            self._append(line)
        except OSError:
            # The release may have filled the flash: remove what only the download needed.
            for unneeded in OWN:
                remove(self.folder + "/" + unneeded)
            if name == "back":
                self.make_room()
            self._append(line)
        self.board.sync()
        self.state()
        # Don't go on with something that the next boot would not know about.
        if self.count(name) <= before:
            raise OSError("the journal did not keep a note")
        return before + 1

    def make_room(self):
        """Free the room that was set aside for going back."""
        for root in self.roots.values():
            try:
                remove("{}/{}/{}".format(root, FOLDER, ROOM))
            except OSError as error:
                self.log("update: {} keeps its room: {}".format(root, error))  # a dead card

    def discard(self):
        """Remove a file that is no valid journal."""
        remove(self.path)

    def _append(self, line):
        with open(self.path, "ab") as notes:
            notes.write(line)

    def entries(self):
        """Return the Lines of the journal that are entries."""
        return Lines(self.path, ENTRY_FIELDS)

    def targets(self, back):
        """Return an iterator, to be used with ``with``, over what each path has to become.

        It yields (path, SHA-256, size in bytes, SHA-256 before, size before).

        Args:
            back: whether to go back to the old release, not on to the new one.
        """
        return Targets(self.path, back)

    def firmware_runs(self):
        """Return whether the running firmware is that of the new release."""
        return self.new_slot in (NONE, self.board.running_slot())


class Targets(Lines):
    """Iterates over the entries of a journal; see Journal.targets."""

    def __init__(self, path, back):
        super().__init__(path, ENTRY_FIELDS)
        self._back = back

    def __next__(self):
        path, sha256, size, old_sha256, old_size = super().__next__()
        new, old = (sha256, int(size)), (old_sha256, int(old_size))
        return (path,) + (old + new if self._back else new + old)


def _valid_header(lines):
    """Return the fields of the first line, None if the journal is incomplete."""
    header = None
    sha256 = hashlib.sha256()
    try:
        line = lines.readline()
        while line and not line.startswith(b"end\t"):
            sha256.update(line)
            header = header or line
            line = lines.readline()
    finally:
        digest = binascii.hexlify(sha256.digest())
    if header and line == b"end\t" + digest + b"\n":
        return header.decode().rstrip("\n").split("\t")
    return None


def _text(data):
    try:
        return data.decode()
    except ValueError:
        return ""  # damaged
