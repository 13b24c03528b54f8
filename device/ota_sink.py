"""Where a download goes: a file here; a board's firmware slot is a sink as well."""

import os

# How much of a file a power cut may cost: LittleFS keeps only what was flushed.
FLUSH_BYTES = 32768


class FileSink:
    """A file that grows by what is written, and keeps it over a reset.

    A sink has ``resume``, ``write``, ``restart`` and ``close``; a firmware slot is one too.
    """

    def __init__(self, path):
        self._path = path
        self._file = None
        self._unflushed = 0

    def resume(self, buf, limit_bytes, update_hash):
        """Hash what an earlier attempt has left; return how many bytes that is."""
        try:
            size = os.stat(self._path)[6]
        except OSError:
            size = 0
        if size > limit_bytes:
            size = 0
        self._file = open(self._path, "ab" if size else "wb")
        if size:
            with open(self._path, "rb") as kept:
                count = kept.readinto(buf)
                while count:
                    update_hash(memoryview(buf)[:count])
                    count = kept.readinto(buf)
        return size

    def write(self, data):
        """Append ``data``."""
        self._file.write(data)
        self._unflushed += len(data)
        if self._unflushed >= FLUSH_BYTES:
            self._file.flush()
            self._unflushed = 0

    def restart(self):
        """Drop everything that was written."""
        self.close()
        open(self._path, "wb").close()

    def close(self):
        """Close the file; what was written stays."""
        if self._file:
            self._file.close()
            self._file = None
