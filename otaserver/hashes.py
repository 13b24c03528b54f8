"""Hashes of files that outlive the process, so that a restart reads no file again."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

from twisted.logger import Logger

from otaserver.catalogue import Stamp
from otaserver.errors import OTAServerError
from otaserver.files import FileChanged, open_stamped, stamp_of

READ_SIZE_BYTES = 1 << 20

_COLUMNS = ["path", "inode", "size_bytes", "mtime_ns", "ctime_ns", "sha1", "sha256"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    path BLOB PRIMARY KEY,
    inode INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    sha1 TEXT NOT NULL,
    sha256 TEXT NOT NULL
) WITHOUT ROWID
"""

# Rows of files that are gone are kept while they are few: a tree that is
# taken away for an hour (a disk that is unplugged) is not read again after it.
_SPARE_ROWS = 10_000

_T = TypeVar("_T")


class StateError(OTAServerError):
    """The folder for state can't be used."""


class Hashes(NamedTuple):
    """The hashes of one content, in lower-case hexadecimal."""

    sha1: str
    sha256: str


class HashStore:
    """Hashes by path and stamp, in an SQLite database.

    One thread at a time may use it. A database that fails later on is made anew,
    or done without: that costs a second reading of files, and not the server.

    Args:
        path: the database's file, made where it is missing, and made anew where
            it is damaged; ``:memory:`` keeps nothing.

    Raises:
        StateError: the file can't be made or written.
    """

    log = Logger()

    def __init__(self, path: Path | str) -> None:
        self._path = path
        try:
            self._database = self._open()
        except (sqlite3.DatabaseError, OSError) as error:
            raise StateError(f"can't keep hashes in {path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if isinstance(self._path, Path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return self._made_anew()

    def _made_anew(self) -> sqlite3.Connection:
        """Replace what is no database, or a damaged one: nothing in it can't be had again."""
        os.unlink(self._path)
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_SCHEMA)
            columns = [row[1] for row in database.execute("PRAGMA table_info(file)")]
            if columns != _COLUMNS:
                raise sqlite3.DatabaseError("its table is of another make")
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def get(self, path: str, stamp: Stamp) -> Hashes | None:
        """Find the hashes of a file that still looks as it did.

        Args:
            path: the file's path.
            stamp: what the file looks like now.
        """

        def find(database: sqlite3.Connection) -> Hashes | None:
            row = database.execute(
                "SELECT sha1, sha256 FROM file WHERE path = ? AND inode = ?"
                " AND size_bytes = ? AND mtime_ns = ? AND ctime_ns = ?",
                _key(path, stamp),
            ).fetchone()
            return None if row is None else Hashes(*row)

        return self._try(find)

    def put(self, path: str, stamp: Stamp, hashes: Hashes) -> None:
        """Keep the hashes of a file; they last from the next `commit` on."""
        row = (*_key(path, stamp), *hashes)
        self._try(
            lambda database: database.execute(
                "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
        )

    def commit(self) -> None:
        """Write what was put since the last time."""
        self._try(sqlite3.Connection.commit)

    def forget_all_but(self, paths: Collection[str]) -> None:
        """Drop the files that are gone, once they are many.

        Args:
            paths: every path whose hashes may still be asked for.
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

        self._try(forget)

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self.commit()
        self._database.close()

    def _try(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Do something with the database; None where it fails, and has been replaced."""
        try:
            return work(self._database)
        except sqlite3.DatabaseError as error:
            self.log.warn("{path} failed: {error}", path=self._path, error=error)
            self._database.close()
            self._database = self._replacement(error)
            return None

    def _replacement(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        # A full disk or a lock is no fault of the database's.
        if not isinstance(error, sqlite3.OperationalError):
            try:
                return self._made_anew()
            except (sqlite3.DatabaseError, OSError):
                pass
        self._path = ":memory:"
        return self._connect()


def _key(path: str, stamp: Stamp) -> tuple[bytes, int, int, int, int]:
    """Leave the device out: the same disk may have another number after a reboot."""
    # SQLite's integers are signed, inodes are not.
    inode = stamp.inode - (1 << 64) if stamp.inode >> 63 else stamp.inode
    return os.fsencode(path), inode, stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns


def hash_file(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
    """Read a file once and hash it in both ways.

    Args:
        path: the file.
        stamp: what it looked like when it was found.
        check: called before each read; it may raise to end a long one.

    Raises:
        FileChanged: it no longer looks like that.
        OSError: it can't be read.
    """
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    buffer = memoryview(bytearray(READ_SIZE_BYTES))
    left_bytes = stamp.size_bytes
    with open(open_stamped(path, stamp), "rb", buffering=0) as file:
        # One read more than the size needs, which finds the end; a file that
        # grows as fast as it is read has none.
        while left_bytes >= 0:
            check()
            count = file.readinto(buffer)
            if not count:
                break
            left_bytes -= count
            sha1.update(buffer[:count])
            sha256.update(buffer[:count])
        if stamp_of(os.fstat(file.fileno())) != stamp:
            raise FileChanged(f"{path} changed while it was read")
    return Hashes(sha1.hexdigest(), sha256.hexdigest())
