"""SQLite databases in the state folder, whose loss costs work but breaks nothing.

A database that is damaged, or not one, is replaced by an empty one. One that fails later on,
as on a full disk, is kept in memory only from then on, and a warning says so.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from otaserver.errors import OTAServerError

_T = TypeVar("_T")


class StateError(OTAServerError):
    """The state folder can't be used."""


class StateDatabase:
    """One database with one table.

    Only one thread at a time may use it.

    Args:
        path: the database file, created if it is missing and replaced if it is damaged;
            ``:memory:`` for one that is lost when the process ends.
        table: the name of its table.
        columns: the definitions of the table's columns by name; the first is the key.
        warn: called with a sentence, without its full stop, when the database fails
            later on.

    Raises:
        StateError: the file can't be created or written.
    """

    def __init__(
        self,
        path: Path | str,
        table: str,
        columns: dict[str, str],
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._table = table
        self._columns = columns
        self._warn = warn
        try:
            self._database = self._open()
        except (sqlite3.DatabaseError, OSError) as error:
            raise StateError(f"can't keep state in {path}: {error}") from error

    def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Run queries.

        Args:
            work: called with the connection.

        Returns:
            What it returned; None if the database failed, and was replaced.
        """
        try:
            return work(self._database)
        except sqlite3.DatabaseError as error:
            self._warn(f"{self._path} failed: {error}")
            self._database.close()
            self._database = self._replacement(error)
            return None

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _open(self) -> sqlite3.Connection:
        if isinstance(self._path, Path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return self._recreated()

    def _recreated(self) -> sqlite3.Connection:
        """Replace a file that is damaged or not a database."""
        os.unlink(self._path)
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, check_same_thread=False)
        first, *others = [f"{name} {kind}" for name, kind in self._columns.items()]
        rows = ", ".join([f"{first} PRIMARY KEY", *others])
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"CREATE TABLE IF NOT EXISTS {self._table} ({rows}) WITHOUT ROWID")
            found = [row[1] for row in database.execute(f"PRAGMA table_info({self._table})")]
            if found != list(self._columns):
                raise sqlite3.DatabaseError("it was created by another version of otaserver")
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def _replacement(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        # Operational errors, such as a full disk or a lock, don't mean that it is damaged.
        if not isinstance(error, sqlite3.OperationalError):
            try:
                return self._recreated()
            except (sqlite3.DatabaseError, OSError):
                pass
        self._path = ":memory:"
        return self._connect()
