"""What one user of the site can see and fetch: cred's avatar, and the realm that hands it out."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import Interface, implementer

from otaserver.catalogue import Catalogue, File, Folder
from otaserver.files import FileChanged, open_stamped
from otaserver.ftp.errors import Refused
from otaserver.ftp.listing import (
    Entry,
    Form,
    entries_of,
    file_entry,
    folder_entry,
    is_tellable,
    manifest_entry,
)
from otaserver.ftp.paths import Location
from otaserver.lookup import ManifestQuestion, NothingHere, look_up
from otaserver.manifest_cache import EncodedManifest, ManifestCache
from otaserver.sentences import FILE_CHANGING, FILE_REMOVED
from otaserver.transfer import BytesTransfer, FileTransfer, Transfer
from otaserver.update_request import UpdateRequest
from otaserver.worker import Worker

# A listing of more entries than this takes milliseconds, too long for the reactor.
_MAX_INLINE_ENTRIES = 500

Found = File | Folder | ManifestQuestion


class Download(NamedTuple):
    """Something that is ready to be sent.

    Attributes:
        transfer: sends it.
        size_bytes: how much that is.
    """

    transfer: Transfer
    size_bytes: int


class IShell(Interface):  # type: ignore[misc]
    """What a logged-in user can do: the interface that the site asks cred for."""


@implementer(IShell)
class ReadOnlyShell:
    """Shows the release tree to somebody who may not change it.

    Args:
        catalogue: gives the newest catalogue, or None before there is one.
        manifests: makes manifests.
        worker: does what takes long.
        root: the tree's folder, as an absolute path.
        legacy: whether manifests are for the original client.
    """

    log = Logger()

    def __init__(
        self,
        catalogue: Callable[[], Catalogue | None],
        manifests: ManifestCache,
        worker: Worker,
        root: str,
        legacy: bool,
    ) -> None:
        self._catalogue = catalogue
        self._manifests = manifests
        self._worker = worker
        self._root = root
        self._legacy = legacy

    def find(self, location: Location) -> Found:
        """Find what is at a path; see `otaserver.lookup.look_up`.

        Args:
            location: the path.
        """
        if not all(map(is_tellable, location.names)):
            raise NothingHere
        return look_up(self._catalogue(), *location)

    def folder(self, location: Location) -> Folder:
        """Find a folder.

        Raises:
            Refused: there is something else at the path.
            OTAServerError: as `find` does.
        """
        found = self.find(location)
        if not isinstance(found, Folder):
            raise Refused(550, "That is no folder.")
        return found

    def manifest(self, question: ManifestQuestion, base_url: str) -> "Deferred[EncodedManifest]":
        """Answer a device; see `ManifestCache.get`."""
        return self._manifests.get(question.folder, question.request, base_url, self._legacy)

    async def size_bytes(self, found: Found, base_url: str) -> int:
        """Tell how much a client gets who fetches something, in bytes.

        Raises:
            Refused: it is a folder.
        """
        if isinstance(found, ManifestQuestion):
            return len((await self.manifest(found, base_url)).body)
        if isinstance(found, Folder):
            raise Refused(550, "That is a folder.")
        return found.size_bytes

    async def entry(self, found: Found, base_url: str) -> Entry:
        """Describe something by itself."""
        if isinstance(found, ManifestQuestion):
            return manifest_entry(found.folder, await self.size_bytes(found, base_url))
        return folder_entry(found) if isinstance(found, Folder) else file_entry(found)

    async def listing(self, found: Found, base_url: str, form: Form) -> bytes:
        """List what is in a folder, or something else by itself.

        Args:
            found: the folder.
            base_url: what URLs in its manifest begin with.
            form: how to write it.
        """
        if not isinstance(found, Folder):
            return form([await self.entry(found, base_url)])
        manifest_bytes = None
        count = len(found.folders) + len(found.files)
        if found.tree is not None:
            everything = ManifestQuestion(found, UpdateRequest())
            manifest_bytes = await self.size_bytes(everything, base_url)
            newest = found.tree.newest_release
            count += len(newest.files) if newest is not None else 0
        if count <= _MAX_INLINE_ENTRIES:
            return form(entries_of(found, manifest_bytes))
        return await self._worker.run(lambda: form(entries_of(found, manifest_bytes)))

    async def download(self, found: Found, base_url: str, offset: int) -> Download:
        """Make something ready to be sent.

        Args:
            found: what to send.
            base_url: what URLs in a manifest begin with.
            offset: where to begin, in bytes.

        Raises:
            Refused: it is a folder, was removed, is being changed, or has no
                such offset.
        """
        if isinstance(found, ManifestQuestion):
            body = (await self.manifest(found, base_url)).body
            _check_offset(offset, len(body))
            return bytes_download(body[offset:])
        if isinstance(found, Folder):
            raise Refused(550, "That is a folder.")
        _check_offset(offset, found.size_bytes)
        descriptor = self._open(found)
        length = found.size_bytes - offset
        return Download(
            FileTransfer(descriptor, found.stamp, offset, length, self._worker, is_first=True),
            length,
        )

    def _open(self, file: File) -> int:
        try:
            return open_stamped(os.path.join(self._root, file.path), file.stamp)
        except FileNotFoundError as error:
            raise Refused(550, FILE_REMOVED) from error
        except FileChanged as error:
            raise Refused(550, FILE_CHANGING) from error
        except OSError as error:
            self.log.warn("{path} can't be sent: {error}", path=file.path, error=error)
            raise Refused(550, FILE_CHANGING) from error


def bytes_download(body: bytes) -> Download:
    """Make bytes ready to be sent."""
    return Download(BytesTransfer(body), len(body))


@implementer(IRealm)
class Realm:
    """Gives everybody whom a checker let in the same shell.

    Args:
        shell: that shell.
    """

    def __init__(self, shell: ReadOnlyShell) -> None:
        self._shell = shell

    def requestAvatar(
        self, avatar_id: object, mind: object, *interfaces: type[Interface]
    ) -> "Deferred[tuple[type[Interface], ReadOnlyShell, Callable[[], Any]]]":
        """Hand out the shell; nothing is kept for a user that a log-out would have to end."""
        if IShell not in interfaces:
            raise NotImplementedError("The release tree has no other face than IShell.")
        return succeed((IShell, self._shell, _log_out))


def _log_out() -> None:
    """A shell that everybody shares has nothing to give back."""


def _check_offset(offset: int, size_bytes: int) -> None:
    """RFC 3659, section 5.2: beyond the end there is nothing to begin with."""
    if offset > size_bytes:
        raise Refused(554, f"There are {size_bytes} bytes, and none at that offset.")
