"""Hashes kept across restarts, so that unchanged files need not be read again.

The store is a cache: a problem with its database costs another read of the files,
but never yields a wrong hash. A row is valid only for the exact stamp that it was
written for.
"""

import os
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

from otaserver.catalogue.hashing import Hashes
from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.state_database import StateDatabase

_COLUMNS = {
    "path": "BLOB",
    "inode": "INTEGER NOT NULL",
    "size_bytes": "INTEGER NOT NULL",
    "mtime_ns": "INTEGER NOT NULL",
    "ctime_ns": "INTEGER NOT NULL",
    "sha1": "TEXT NOT NULL",
    "sha256": "TEXT NOT NULL",
}

# Up to this many rows of files that no longer exist are kept: a tree that disappears
# for an hour (a disk is unplugged, say) need not be read again when it returns.
_SPARE_ROWS = 10_000


class HashStore:
    """Hashes by path and stamp, in an SQLite database.

    Only one thread at a time may use it.

    Args:
        path: the database file, created if it is missing and replaced if it is
            damaged; ``:memory:`` for one that is lost when the process ends.
        warn: called with a sentence, without its full stop, when the database fails
            later on.

    Raises:
        StateError: the file can't be created or written.
    """

    def __init__(self, path: Path | str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._put: list[tuple[bytes | int | str, ...]] = []
        self._database = StateDatabase(path, "file", _COLUMNS, warn)

    def get(self, path: str, stamp: Stamp) -> Hashes | None:
        """Look up a file's hashes.

        Args:
            path: the file's path below the root.
            stamp: the file's current stamp.

        Returns:
            The hashes; None if the store has none for this stamp.
        """

        def find(database: sqlite3.Connection) -> Hashes | None:
            row = database.execute(
                "SELECT sha1, sha256 FROM file WHERE path = ? AND inode = ?"
                " AND size_bytes = ? AND mtime_ns = ? AND ctime_ns = ?",
                _key(path, stamp),
            ).fetchone()
            return None if row is None else Hashes(*row)

        return self._database.run(find)

    def put(self, path: str, stamp: Stamp, hashes: Hashes) -> None:
        """Store a file's hashes; they are written to disk by `commit`.

        Args:
            path: the file's path below the root.
            stamp: the stamp that the hashes were computed for.
            hashes: the hashes.
        """
        self._put.append((*_key(path, stamp), *hashes))

    def commit(self) -> None:
        """Write the hashes that were stored since the last commit.

        They are written together, so that the database isn't locked while files are
        being hashed.
        """
        rows, self._put = self._put, []
        if not rows:
            return

        def write(database: sqlite3.Connection) -> None:
            database.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            database.commit()

        self._database.run(write)

    def forget_all_but(self, paths: Collection[str]) -> None:
        """Delete the rows of files that no longer exist, if there are many.

        Args:
            paths: the paths of all files whose hashes are still needed.
        """

        def forget(database: sqlite3.Connection) -> None:
            (rows,) = database.execute("SELECT count(*) FROM file").fetchone()
            if rows <= len(paths) + _SPARE_ROWS:
                return
            kept = {os.fsencode(path) for path in paths}
            known = [path for (path,) in database.execute("SELECT path FROM file")]
            gone = [(path,) for path in known if path not in kept]
            database.executemany("DELETE FROM file WHERE path = ?", gone)
            database.commit()

        self._database.run(forget)

    def close(self) -> None:
        """Commit, and close the database."""
        self.commit()
        self._database.close()


def _key(path: str, stamp: Stamp) -> tuple[bytes | int, ...]:
    """Build a row's key, without the device: its number may change at the next boot."""
    return (os.fsencode(path), *map(_signed, stamp[1:]))


def _signed(number: int) -> int:
    """Wrap an integer of any size into SQLite's signed 64 bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)
