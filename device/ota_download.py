"""Fetches contents over as many connections as it takes, and checks their hash."""

try:
    import binascii
    import hashlib
except ImportError:
    import ubinascii as binascii
    import uhashlib as hashlib

from ota_errors import IntegrityError, LinkError

# What a connection has to bring before its end no longer counts as a failed attempt.
PROGRESS_BYTES = 16384


class Download:
    """The downloads of one update, with their progress and their retries."""

    def __init__(self, ota, buf, total_bytes):
        self._ota = ota
        self._buf = buf
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._filled = 0

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
            if stream.readinto(view[:1]):
                raise IntegrityError("{} is longer than the manifest says".format(path))
        finally:
            stream.close()
