"""The packages that MicroPython's installer, mip, finds on this server.

There are two: ``ota``, the device library, and ``release`` or ``PRODUCT/release``, a release.
See `otaserver.mip.addresses` for how mip asks for them, and `otaserver.library_forms` for
the forms in which the library is served. A release is always served as it is in the tree:
an update compares it with the next one file by file, and would leave compiled files behind.

The table that finds the files of releases by their hashes is made when somebody first asks
for one, and kept until the catalogue changes.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from otaserver.catalogue.model import Catalogue, File, Folder, Release
from otaserver.catalogue.paths import TreePath
from otaserver.catalogue.problems import printable
from otaserver.library_forms import LibraryForms
from otaserver.mip.addresses import (
    LIBRARY_NAME,
    RELEASE_NAME,
    ContentAddress,
    PackageAddress,
    parse_address,
)
from otaserver.mip.contents import ReleaseContents
from otaserver.mip.index import NoSuchPackage, chosen_release, encode_index, release_index
from otaserver.once import Once
from otaserver.worker import Worker

# Describing a release of more files takes milliseconds, too long for the reactor's thread.
_MAX_INLINE_FILES = 500


class Document(NamedTuple):
    """Something that mip gets, if it is no file of the release tree.

    Attributes:
        body: its content.
        sha256: the SHA-256 of that, in hexadecimal.
        is_named_by_hash: whether that is its address, so that it never changes.
    """

    body: bytes
    sha256: str
    is_named_by_hash: bool


class Packages:
    """Finds what mip asks for.

    Args:
        catalogue: returns the newest catalogue; None before there is one.
        worker: does what would block.
        library: the device library.
        version: the version of the library.
    """

    def __init__(
        self,
        catalogue: Callable[[], Catalogue | None],
        worker: Worker,
        library: LibraryForms,
        version: str,
    ) -> None:
        self._catalogue = catalogue
        self._worker = worker
        self._library = library
        self._version = version
        self.clear()

    def clear(self) -> None:
        """Forget the releases, because the catalogue has changed."""
        self._contents = Once(lambda: self._worker.run(ReleaseContents, self._catalogue()))

    async def find(self, path: TreePath) -> Document | File | None:
        """Find what mip gets at a path at which the release tree has nothing.

        Args:
            path: the path.

        Returns:
            What there is; None if it is not a path that mip asks for.

        Raises:
            NoSuchPackage: there is no such package, or no file of one.
            OSError: the device library can't be read.
        """
        address = parse_address(path)
        if isinstance(address, ContentAddress):
            return await self._content(address.sha256)
        if address is None:
            return None
        if address.name == RELEASE_NAME:
            return await self._release(address)
        if address.name == LIBRARY_NAME and not address.product:
            return await self._library_index(address)
        raise NoSuchPackage(
            f"The packages here are {LIBRARY_NAME}, the device library, and {RELEASE_NAME} or "
            f"PRODUCT/{RELEASE_NAME}, a release."
        )

    async def _library_index(self, address: PackageAddress) -> Document:
        if address.version not in (None, self._version):
            raise NoSuchPackage(f"The device library is here in version {self._version} only.")
        form = await self._library.get(address.mpy_version)
        return _document(encode_index(self._version, form.hashes.items()))

    async def _release(self, address: PackageAddress) -> Document:
        catalogue = self._catalogue()
        product = catalogue.find(address.product) if catalogue else None
        if not isinstance(product, Folder):
            raise NoSuchPackage(f"There is no product {printable('/'.join(address.product))}.")
        release = chosen_release(product, address.version)
        if len(release.files) <= _MAX_INLINE_FILES:
            return _release_document(release)
        return await self._worker.run(_release_document, release)

    async def _content(self, sha256: str) -> Document | File:
        found = (await self._contents.get()).find(sha256) or await self._library.find(sha256)
        if found is None:
            raise NoSuchPackage("No package has a file with this hash.")
        return Document(found, sha256, True) if isinstance(found, bytes) else found


def _release_document(release: Release) -> Document:
    return _document(release_index(release))


def _document(body: bytes) -> Document:
    return Document(body, hashlib.sha256(body).hexdigest(), False)
