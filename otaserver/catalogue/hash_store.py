"""Hashes kept across restarts, so that unchanged files need not be read again.

The store is a cache: a problem with its database costs another read of the files, but never
yields a wrong hash. A record is valid only for the exact stamp that it was written for, and
only if its checksum is right.
"""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from otaserver.catalogue.hashing import Hashes
from otaserver.catalogue.stamps import PACKED_BYTES, Stamp
from otaserver.catalogue.state_database import StateDatabase

# A record is a packed stamp, a SHA-1 and a SHA-256.
_SHA1_END = PACKED_BYTES + 20
_RECORD_BYTES = _SHA1_END + 32

# Records of files that no longer exist are kept up to this number, which takes some 60 MB: a
# tree on a disk that is away for a week, say, need not be read again when it returns.
_SPARE_RECORDS = 300_000


class HashStore:
    """Hashes by path and stamp, in an SQLite database.

    Only one thread at a time may use it.

    Args:
        path: see `StateDatabase`.
        warn: likewise.
    """

    def __init__(self, path: Path | str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._put: list[tuple[bytes, bytes]] = []
        self._database = StateDatabase(path, warn)

    def get(self, path: str, stamp: Stamp) -> Hashes | None:
        """Look up a file's hashes.

        Args:
            path: the file's path below the root.
            stamp: the file's current stamp.

        Returns:
            The hashes; None if the store has none for this stamp.
        """
        record = self._database.get(os.fsencode(path))
        if (
            record is None
            or len(record) != _RECORD_BYTES
            or record[:PACKED_BYTES] != stamp.packed()
        ):
            return None
        return Hashes(record[PACKED_BYTES:_SHA1_END].hex(), record[_SHA1_END:].hex())

    def put(self, path: str, stamp: Stamp, hashes: Hashes) -> None:
        """Store a file's hashes; they are written to disk by `commit`.

        Args:
            path: the file's path below the root.
            stamp: the stamp that the hashes were computed for.
            hashes: the hashes.
        """
        record = stamp.packed() + bytes.fromhex(hashes.sha1 + hashes.sha256)
        self._put.append((os.fsencode(path), record))

    def commit(self) -> None:
        """Write the hashes that were stored since the last commit.

        They are written together, so that the database isn't locked while files are
        being hashed.
        """
        records, self._put = self._put, []
        self._database.put(records)

    def has_many_spare(self, files: int) -> bool:
        """Tell whether there are very many records of files that no longer exist.

        Args:
            files: how many files there are.

        Returns:
            Whether `forget_all_but` has something to do.
        """
        return self._database.count() > files + _SPARE_RECORDS

    def forget_all_but(self, paths: Collection[str]) -> None:
        """Delete records of files that no longer exist, if there are very many.

        Args:
            paths: the paths of all files whose hashes are still needed.
        """
        if self.has_many_spare(len(paths)):
            needed = {os.fsencode(path) for path in paths}
            self._database.forget_some(_SPARE_RECORDS, needed.__contains__)

    def close(self) -> None:
        """Commit, and close the database."""
        self.commit()
        self._database.close()
