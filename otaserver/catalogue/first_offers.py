"""What releases and firmware contained when they were first offered, to notice a change.

A device that has installed a version never asks for it again. If the version's content
changes afterwards, some devices have the one, some the other, and nobody can tell which.
So the first content of each version that is offered is kept across restarts, and compared.
"""

import sqlite3
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from otaserver.catalogue.model import File, listing
from otaserver.catalogue.state_database import StateDatabase

# When there are more versions than this, those are forgotten that no longer exist.
_MAX_VERSIONS = 10_000

_COLUMNS = {"release": "TEXT", "content_id": "TEXT NOT NULL", "listing": "BLOB NOT NULL"}


class FirstOffers:
    """The first contents of releases and firmware, in an SQLite database.

    Only one thread at a time may use it.

    Args:
        path: see `StateDatabase`.
        warn: likewise.

    Raises:
        StateError: the file can't be created or written.
    """

    def __init__(self, path: Path | str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._database = StateDatabase(path, "first_offer", _COLUMNS, warn)
        rows = self._database.run(
            lambda database: database.execute(
                "SELECT release, content_id FROM first_offer"
            ).fetchall()
        )
        self._content_ids: dict[str, str] = dict(rows or ())
        self._new: list[tuple[str, str, bytes]] = []

    def changed_files(
        self, path: str, content_id: str, files: Mapping[str, File]
    ) -> tuple[str, ...]:
        """Compare a release or firmware that is offered with what it contained at first.

        Args:
            path: its path on disk. If that is new, its content is kept.
            content_id: what tells its contents apart.
            files: its files by their path on the device; for firmware, by its own name.

        Returns:
            The files that have changed, appeared or gone since, by their path on the
            device; empty if nothing has.
        """
        first = self._content_ids.get(path)
        if first is None:
            self._content_ids[path] = content_id
            self._new.append((path, content_id, zlib.compress(listing(files).encode())))
            return ()
        if first == content_id:
            return ()
        self.commit()
        before = self._database.run(lambda database: _listing(database, path)) or {}
        now = {path: file.sha256 for path, file in files.items()}
        either = before.keys() | now.keys()
        return tuple(sorted(path for path in either if before.get(path) != now.get(path)))

    def commit(self) -> None:
        """Write what was kept since the last commit."""
        rows, self._new = self._new, []
        if rows:
            self._database.run(lambda database: _insert(database, rows))

    def forget_all_but(self, paths: set[str]) -> None:
        """Forget releases and firmware that no longer exist, if there are many.

        Args:
            paths: those that do, by their paths on disk.
        """
        gone = [path for path in self._content_ids if path not in paths]
        if len(self._content_ids) <= _MAX_VERSIONS or not gone:
            return
        for path in gone:
            del self._content_ids[path]
        self._database.run(lambda database: _delete(database, gone))

    def close(self) -> None:
        """Commit, and close the database."""
        self.commit()
        self._database.close()


def _listing(database: sqlite3.Connection, path: str) -> dict[str, str]:
    (packed,) = database.execute(
        "SELECT listing FROM first_offer WHERE release = ?", (path,)
    ).fetchone() or (zlib.compress(b""),)
    lines = zlib.decompress(packed).decode().split("\n")[:-1]
    return {line[66:]: line[:64] for line in lines}


def _insert(database: sqlite3.Connection, rows: list[tuple[str, str, bytes]]) -> None:
    database.executemany("INSERT OR REPLACE INTO first_offer VALUES (?, ?, ?)", rows)
    database.commit()


def _delete(database: sqlite3.Connection, paths: list[str]) -> None:
    database.executemany("DELETE FROM first_offer WHERE release = ?", [(path,) for path in paths])
    database.commit()
