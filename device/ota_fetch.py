"""The fourth part of an update: the contents, fetched and checked.

Over as many connections as it takes; what has come is gone on with, also after a reset.
"""

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_errors import IntegrityError, LinkError
from ota_recovery import NONE
from ota_sink import FileSink

# What a Pycom takes at once, and a block of an ESP32's slot.
BUFFER_BYTES = 4096
# What a connection has to bring before its end no longer counts as a failed attempt.
PROGRESS_BYTES = 16384


class Fetch:
    """The downloads of one update, with their progress and their retries."""

    def __init__(self, ota, recovery, total_bytes):
        self._ota = ota
        self._recovery = recovery
        self._buf = bytearray(BUFFER_BYTES)
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._filled = 0

    def files(self):
        """Bring the contents that the draft names into the store."""
        with self._recovery.drafted() as drafted:
            for path, sha256, size, _, _, url_path in drafted:
                if url_path != NONE:
                    sink = FileSink(self._recovery.stored(path, sha256))
                    self.fetch(url_path, int(size), sha256, sink, path)

    def firmware(self, url_path, size, sha256, version):
        """Bring a firmware into the other slot; return the names of that one and of this."""
        board = self._ota.board
        slot = board.open_slot(self._recovery.folder + "/slot", sha256)
        self.fetch(url_path, size, sha256, slot, "firmware " + version)
        slot.check()
        return slot.name, board.running_slot()

    def fetch(self, path, size, sha256, sink, what):
        """Bring the content of ``path`` into ``sink``; raise if it can't be had or is wrong."""
        digest, resumed = self._attempt(path, size, sink, what)
        if digest != sha256 and resumed:
            # What was kept may be at fault: once more, from the beginning.
            self._done_bytes -= size
            sink.restart()
            digest, resumed = self._attempt(path, size, sink, what)
        if digest != sha256:
            sink.restart()
            raise IntegrityError("{} came with the wrong hash".format(what))
        if resumed == size:
            # Nothing had to come, so nothing has been said yet.
            self._ota.progress(self._done_bytes, self._total_bytes, what)

    def _attempt(self, path, size, sink, what):
        # Pycom has one hash at a time, and one left undigested blocks the next for ever.
        sha256 = hashlib.sha256()
        self._filled = 0
        try:
            start = sink.resume(self._buf, size, sha256.update)
            self._done_bytes += start
            at = start
            failures = 0
            while at < size:
                before = at + self._filled
                pieces = self._pour(path, at, size)
                try:
                    for count in pieces:
                        data = memoryview(self._buf)[:count]
                        sink.write(data)
                        sha256.update(data)
                        at += count
                        self._done_bytes += count
                        self._ota.progress(self._done_bytes, self._total_bytes, what)
                except LinkError as error:
                    failures = 1 if at + self._filled - before >= PROGRESS_BYTES else failures + 1
                    self._ota.wait_to_retry(failures, error)
                finally:
                    pieces.close()  # and with it the connection
        finally:
            digest = sha256.digest()
            sink.close()
        return binascii.hexlify(digest).decode(), start

    def _pour(self, path, at, size):
        """Yield the length of each piece in the buffer: a full one, but for the last.

        A piece that a broken connection left part-filled is filled up by the next one.
        """
        view = memoryview(self._buf)
        stream = self._ota.open(path, at + self._filled)
        try:
            while at < size:
                wanted = min(len(view), size - at)
                while self._filled < wanted:
                    count = stream.readinto(view[self._filled : wanted])
                    if not count:
                        raise LinkError("{} ended at byte {}".format(path, at + self._filled))
                    self._filled += count
                self._filled = 0
                at += wanted
                yield wanted
            if self._goes_on(stream, view[:1]):
                raise IntegrityError("{} is longer than the manifest says".format(path))
        finally:
            stream.close()

    def _goes_on(self, stream, view):
        try:
            return stream.readinto(view)
        except LinkError:
            return 0  # all of it is here; its hash tells whether it is right
