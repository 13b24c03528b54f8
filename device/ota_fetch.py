"""Fourth step of an update: download the contents and check them.

A lost connection is retried; downloads resume where they stopped, even after a reset.
"""

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_errors import IntegrityError, LinkError
from ota_files import NONE
from ota_moved import is_moved
from ota_sink import FileSink
from ota_wanted import wanted

# A connection that brought this much before it failed resets the count of failures.
PROGRESS_BYTES = 16384


class Fetch:
    """The downloads of one update, with progress and retries.

    Args:
        ota: the OTA that is updating.
        layout: its Layout.
        total_bytes: size of all downloads, for progress.
        buf: bytearray to read through; a sink is given as much at a time.
    """

    def __init__(self, ota, layout, total_bytes, buf):
        self._ota = ota
        self._layout = layout
        self._buf = buf
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._filled = 0

    def files(self):
        """Download the contents listed in the draft into the store."""
        with self._layout.drafted() as drafted:
            seen = wanted(drafted, back=False)
        with self._layout.drafted() as drafted:
            for path, sha256, size, _, _, url_path in drafted:
                if url_path == NONE:
                    continue
                if is_moved(self._layout, path, sha256, seen):
                    self._done_bytes += int(size)
                    self._ota.progress(self._done_bytes, self._total_bytes, path)
                else:
                    sink = FileSink(self._layout.stored(path, sha256))
                    self.fetch(url_path, int(size), sha256, sink, path)

    def firmware(self, url_path, size, sha256, version):
        """Download firmware into the inactive slot.

        Args:
            url_path: its path on the server.
            size: in bytes.
            sha256: in hex.
            version: shown as progress.

        Returns the names of the slot written and of the running one. Raises OTAError.
        """
        board = self._ota.board
        slot = board.open_slot(self._layout.folder + "/slot", sha256)
        self.fetch(url_path, size, sha256, slot, "firmware " + version)
        slot.check()
        return slot.name, board.running_slot()

    def fetch(self, path, size, sha256, sink, what):
        """Download one content into a sink.

        Args:
            path: its path on the server.
            size: in bytes.
            sha256: in hex.
            sink: where to write it; see ota_sink.
            what: its name in progress and errors.

        Raises OTAError: IntegrityError if the size or SHA-256 is wrong.
        """
        digest, resumed = self._attempt(path, size, sink, what)
        if digest != sha256 and resumed:
            # The part kept from earlier may be corrupt: try once more from the beginning.
            self._done_bytes -= size
            sink.restart()
            digest, resumed = self._attempt(path, size, sink, what)
        if digest != sha256:
            sink.restart()
            raise IntegrityError("{} has the wrong SHA-256".format(what))
        if resumed == size:
            # Nothing was downloaded, so no progress has been reported yet.
            self._ota.progress(self._done_bytes, self._total_bytes, what)

    def _attempt(self, path, size, sink, what):
        # Pycom allows one hash at a time; one without a digest blocks all others for good.
        sha256 = hashlib.sha256()
        self._filled = 0
        try:
            start = sink.resume(self._buf, size, self._fed(sha256.update))
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
                    failures = self._ota.wait_to_retry(failures, error)
                finally:
                    pieces.close()  # closes the stream, too
        finally:
            digest = sha256.digest()
            sink.close()
        return binascii.hexlify(digest).decode(), start

    def _fed(self, update_hash):
        """Return a function that hashes and feeds the watchdog: a whole slot takes seconds."""

        def update(data):
            self._ota.board.feed_watchdog()
            update_hash(data)

        return update

    def _pour(self, path, at, size):
        """Yield the length of each piece read into the buffer; all but the last fill it.

        A piece that a lost connection left incomplete is completed by the next one.
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
            return 0  # everything has arrived; the SHA-256 decides whether it is right
