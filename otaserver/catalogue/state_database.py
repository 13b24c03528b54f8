"""Records in the state folder, each with a checksum; their loss costs work but breaks nothing.

How it works. A record is bytes under a key of bytes, in an SQLite database, beside a checksum
of both. SQLite's own pages have no checksums, so a bit that flips on a worn card can turn up
in a record, in its key, or in what SQLite keeps of its own.

Why that is safe. A record whose checksum is wrong counts as missing; whoever looks for it
makes it again. Where SQLite notices damage to its own structures, the file is replaced by an
empty one; where it doesn't, it finds nothing, or something whose checksum is wrong. A file
that can't be used for another reason, such as a full or read-only disk, is left for the next
start, and records are kept in memory until then. Each of these is said in a warning.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

Row = tuple[bytes, bytes]

_CHECKSUM_BYTES = 8
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS record (key BLOB PRIMARY KEY, content BLOB, checksum BLOB)"
    " WITHOUT ROWID"
)
_COLUMNS = [("record", "key"), ("record", "content"), ("record", "checksum")]
_FIND_COLUMNS = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
_FIND = "SELECT key, content, checksum FROM record"

# What SQLite says when a new file would fare no better than this one.
_NOT_ITS_FAULT = ("locked", "full", "disk I/O error", "unable to open")


class StateDatabase:
    """One database of records.

    Only one thread at a time may use it.

    Args:
        path: the database file, created if it is missing and replaced if it is damaged;
            ``:memory:`` for one that is lost when the process ends.
        warn: called with a sentence, without its full stop, when the file is damaged or
            can't be used.
    """

    def __init__(self, path: Path | str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._path = path
        self._warn = warn
        try:
            self._database = self._connect()
        except (sqlite3.Error, OSError) as error:
            self._database = self._replacement(error)

    def get(self, key: bytes) -> bytes | None:
        """Look up a record.

        Args:
            key: its key.

        Returns:
            Its content; None if there is none, or only a damaged one.
        """

        def find(database: sqlite3.Connection) -> bytes | None:
            row = database.execute(f"{_FIND} WHERE key = ?", (key,)).fetchone()
            return row[1] if row is not None and _is_sound(*row) else None

        return self._run(find, None)

    def all(self) -> list[Row]:
        """List all records that are not damaged.

        Returns:
            The key and the content of each.
        """

        def find(database: sqlite3.Connection) -> list[Row]:
            return [row[:2] for row in database.execute(_FIND) if _is_sound(*row)]

        return self._run(find, [])

    def put(self, rows: Iterable[Row]) -> None:
        """Write records in one transaction.

        Args:
            rows: the key and the content of each; they replace those with the same key.
        """
        checked = [(key, content, _checksum(key, content)) for key, content in rows]

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", checked)

        if checked:
            self._run(write, None)

    def forget_some(self, kept: int, is_needed: Callable[[bytes], bool]) -> None:
        """Delete records that are not needed, if there are many.

        Args:
            kept: so many of them are kept.
            is_needed: tells of a key whether its record is needed.
        """

        def forget(database: sqlite3.Connection) -> None:
            keys = (key for (key,) in database.execute("SELECT key FROM record"))
            spare = [(key,) for key in keys if not (isinstance(key, bytes) and is_needed(key))]
            if len(spare) > kept:
                with database:
                    database.executemany("DELETE FROM record WHERE key = ?", spare[kept:])

        self._run(forget, None)

    def count(self) -> int:
        """Count the records.

        Returns:
            Their number, damaged ones included.
        """

        def count(database: sqlite3.Connection) -> int:
            (number,) = database.execute("SELECT count(*) FROM record").fetchone()
            return int(number)

        return self._run(count, 0)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _run(self, work: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """Run queries; if the database fails, replace it, and give another result."""
        try:
            return work(self._database)
        except sqlite3.Error as error:
            self._database.close()
            self._database = self._replacement(error)
            return otherwise

    def _connect(self) -> sqlite3.Connection:
        if isinstance(self._path, Path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_SCHEMA)
            if database.execute(_FIND_COLUMNS).fetchall() != _COLUMNS:
                raise sqlite3.DatabaseError("it is damaged, or was made by another version")
            # It writes a page: a read-only disk shows now rather than after hours of hashing.
            database.execute("PRAGMA user_version = 1")
            # A single bit tells a text from bytes, and few bytes are UTF-8: as text, they would
            # be an error that costs all records, and not only this one.
            database.text_factory = bytes
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _replacement(self, error: sqlite3.Error | OSError) -> sqlite3.Connection:
        """Make another database in place of one that fails: in its file, or in memory."""
        if _is_damage(error) and isinstance(self._path, Path):
            with suppress(sqlite3.Error, OSError):
                # What is left of SQLite's log would be written into the new file.
                for suffix in ("-wal", "-shm", ""):
                    with suppress(FileNotFoundError):
                        os.unlink(f"{self._path}{suffix}")
                database = self._connect()
                self._warn(f"{self._path} is begun anew: {error}")
                return database
        self._warn(f"{self._path} can't be used, so its content is kept in memory only: {error}")
        self._path = ":memory:"
        return self._connect()


def _is_damage(error: sqlite3.Error | OSError) -> bool:
    return isinstance(error, sqlite3.Error) and not any(
        said in str(error) for said in _NOT_ITS_FAULT
    )


def _checksum(key: bytes, content: bytes) -> bytes:
    lengths = b"%d %d " % (len(key), len(content))
    return blake2b(lengths + key + content, digest_size=_CHECKSUM_BYTES).digest()


def _is_sound(key: object, content: object, checksum: object) -> bool:
    """Tell whether a row is what was written; damage can change even a value's type."""
    return (
        isinstance(key, bytes)
        and isinstance(content, bytes)
        and checksum == _checksum(key, content)
    )
