"""Sinks, which downloads are written to: files here, firmware slots in the board modules."""

import os

# The most that a power cut can lose: LittleFS keeps only what was flushed.
FLUSH_BYTES = 32768


class FileSink:
    """A file whose content survives a reset, so that its download can resume.

    Every sink has these four methods.

    Args:
        path: of the file; created if missing.
    """

    def __init__(self, path):
        self._path = path
        self._file = None
        self._unflushed = 0

    def resume(self, buf, limit_bytes, update_hash):
        """Open the sink and hash what an earlier attempt wrote.

        Args:
            buf: bytearray to read through.
            limit_bytes: size of the content; anything larger is discarded.
            update_hash: called with each piece read.

        Returns the number of bytes already written. Raises OSError.
        """
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
        """Append ``data``. Raises OSError."""
        self._file.write(data)
        self._unflushed += len(data)
        if self._unflushed >= FLUSH_BYTES:
            self._file.flush()
            self._unflushed = 0

    def restart(self):
        """Discard everything written so far."""
        self.close()
        open(self._path, "wb").close()

    def close(self):
        """Close the file, which is kept."""
        if self._file:
            self._file.close()
            self._file = None
