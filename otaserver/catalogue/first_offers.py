"""What releases and firmware contained when they were first offered, to notice a change.

A device that has installed a version never asks for it again. If the version's content
changes afterwards, some devices have the one, some the other, and nobody can tell which.
So the first content of each version that is offered is kept across restarts, and compared.
"""

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from otaserver.catalogue.model import File, listing
from otaserver.catalogue.state_database import StateDatabase

# When there are more versions than this, those are forgotten that no longer exist.
_MAX_VERSIONS = 10_000

_CONTENT_ID_BYTES = 32


class FirstOffers:
    """The first contents of releases and firmware, in an SQLite database.

    Only one thread at a time may use it.

    Args:
        path: see `StateDatabase`.
        warn: likewise.
    """

    def __init__(self, path: Path | str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._database = StateDatabase(path, warn)
        # By the path on disk, as bytes.
        self._content_ids = {
            key: record[:_CONTENT_ID_BYTES].hex() for key, record in self._database.all()
        }
        self._new: list[tuple[bytes, bytes]] = []

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
        key = os.fsencode(path)
        first = self._content_ids.get(key)
        if first is None:
            self._content_ids[key] = content_id
            packed = bytes.fromhex(content_id) + zlib.compress(listing(files).encode())
            self._new.append((key, packed))
            return ()
        if first == content_id:
            return ()
        before = self._listing(key)
        now = {path: file.sha256 for path, file in files.items()}
        either = before.keys() | now.keys()
        return tuple(sorted(path for path in either if before.get(path) != now.get(path)))

    def commit(self) -> None:
        """Write what was kept since the last commit."""
        records, self._new = self._new, []
        self._database.put(records)

    def forget_all_but(self, paths: set[str]) -> None:
        """Forget releases and firmware that no longer exist, if there are many.

        Args:
            paths: those that do, by their paths on disk.
        """
        needed = {os.fsencode(path) for path in paths}
        gone = [key for key in self._content_ids if key not in needed]
        if len(self._content_ids) <= _MAX_VERSIONS or not gone:
            return
        for key in gone:
            del self._content_ids[key]
        self._database.forget_some(0, needed.__contains__)

    def close(self) -> None:
        """Commit, and close the database."""
        self.commit()
        self._database.close()

    def _listing(self, key: bytes) -> dict[str, str]:
        """Get the hashes of the first files by path; nothing if they were lost."""
        self.commit()
        record = self._database.get(key)
        if record is None:
            return {}
        lines = zlib.decompress(record[_CONTENT_ID_BYTES:]).decode().split("\n")[:-1]
        return {line[66:]: line[:64] for line in lines}
