"""Finding the files of releases by their hashes, which is all that mip asks by.

Files are sorted into some thousands of lists by the first digits of their hashes. Even in
a large tree, each has a few dozen then, which are compared in microseconds, and all of them
take little more memory than a pointer a file.
"""

import hashlib
from collections.abc import Iterator

from otaserver.catalogue.model import Catalogue, File, Folder, Release
from otaserver.mip.index import version_record

_DIGITS = 3


class ReleaseContents:
    """All files of the releases in a catalogue.

    Args:
        catalogue: the catalogue; None for none.
    """

    def __init__(self, catalogue: Catalogue | None) -> None:
        self._files: dict[str, list[File]] = {}
        self._records: dict[str, bytes] = {}
        for release in _releases(catalogue.root) if catalogue else ():
            for file in release.files.values():
                self._files.setdefault(file.sha256[:_DIGITS], []).append(file)
            record = version_record(release)
            self._records[hashlib.sha256(record).hexdigest()] = record

    def find(self, sha256: str) -> File | bytes | None:
        """Find a content.

        Args:
            sha256: its SHA-256, in hexadecimal.

        Returns:
            A file of that content, or the record of a version; None if no release has it.
        """
        for file in self._files.get(sha256[:_DIGITS], ()):
            if file.sha256 == sha256:
                return file
        return self._records.get(sha256)


def _releases(folder: Folder) -> Iterator[Release]:
    """Find the releases that packages may be made of, in a folder and the products in it."""
    if folder.tree is None:
        return
    yield from (release for release in folder.tree.releases if not release.problems)
    for inner in folder.folders.values():
        yield from _releases(inner)
