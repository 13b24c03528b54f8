"""What one user of the site can see and fetch: cred's avatar, and the realm that hands it out."""

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, succeed
from zope.interface import Interface, implementer

from otaserver.catalogue.model import MANIFEST_NAME, Folder
from otaserver.catalogue.paths import TreePath
from otaserver.encoded_manifests import EncodedManifest
from otaserver.ftp.errors import Refused
from otaserver.ftp.list_formats import (
    Entry,
    Form,
    entries_of,
    file_entry,
    folder_entry,
    is_tellable,
    manifest_entry,
)
from otaserver.ftp.patterns import Matches, compiled, is_pattern
from otaserver.manifest.update_request import UpdateRequest
from otaserver.service import Found, ManifestRequest, NothingHere, UpdateServer
from otaserver.wire.file_transfer import FileTransfer
from otaserver.wire.transfer import BytesTransfer, Transfer
from otaserver.worker import Worker

# A listing of more entries takes milliseconds to write, too long for the reactor's thread.
_MAX_INLINE_ENTRIES = 500


class Download(NamedTuple):
    """Something that is ready to be sent.

    Attributes:
        transfer: sends it.
        size_bytes: how much that is.
        whole_bytes: how much it would be from the beginning.
        body: what it keeps in memory until it has been sent.
    """

    transfer: Transfer
    size_bytes: int
    whole_bytes: int
    body: bytes = b""


class IShell(Interface):  # type: ignore[misc]
    """What a logged-in user can do: the interface that the site asks cred for."""


@implementer(IShell)
class ReadOnlyShell:
    """Gives read-only access to the release tree.

    Args:
        server: finds what is served.
        worker: does what would block.
    """

    def __init__(self, server: UpdateServer, worker: Worker) -> None:
        self._server = server
        self._worker = worker

    def find(self, path: TreePath, query: bytes = b"") -> Found:
        """Find what is at a path.

        Args:
            path: see `otaserver.service.UpdateServer.find`.
            query: likewise.

        Returns:
            What is there.

        Raises:
            OTAServerError: see `UpdateServer.find`.
        """
        if not all(map(is_tellable, path.names)):
            raise NothingHere
        return self._server.find(path, query)

    def find_listed(self, path: TreePath, query: bytes = b"") -> Found | Matches:
        """Find what a listing is about: what is at a path, or what a pattern matches.

        Args:
            path: where to look. If nothing has exactly this path, its last part may be a
                pattern.
            query: see `find`.

        Returns:
            What is there; or, for a pattern, what it matches, which may be nothing.

        Raises:
            Refused: the pattern is too long.
            OTAServerError: see `find`; for a pattern, its folder isn't there.
        """
        try:
            return self.find(path, query)
        except NothingHere:
            if path.is_folder or not is_pattern(path.names[-1]):
                raise
        folder = self.find(TreePath(path.names[:-1], True))
        assert isinstance(folder, Folder)
        return Matches(folder, compiled(path.names[-1]))

    def folder(self, path: TreePath) -> Folder:
        """Find a folder.

        Args:
            path: where it is.

        Returns:
            The folder.

        Raises:
            Refused: something other than a folder is at the path.
            OTAServerError: see `find`.
        """
        found = self.find(path)
        if not isinstance(found, Folder):
            raise Refused(550, "That is not a folder.")
        return found

    async def manifest(self, request: ManifestRequest, base_url: str) -> EncodedManifest:
        """Get a device's manifest.

        Args:
            request: see `otaserver.service.UpdateServer.manifest`.
            base_url: likewise.

        Returns:
            The manifest.
        """
        manifest = self._server.manifest(request, base_url)
        return manifest if isinstance(manifest, EncodedManifest) else await manifest

    async def size_bytes(self, found: Found, base_url: str) -> int:
        """Find out how much a client gets when it fetches something.

        Args:
            found: what it fetches.
            base_url: what URLs in a manifest begin with.

        Returns:
            How much it is, in bytes.

        Raises:
            Refused: it is a folder.
        """
        if isinstance(found, ManifestRequest):
            return len((await self.manifest(found, base_url)).body)
        if isinstance(found, Folder):
            raise Refused(550, "That is a folder.")
        return found.size_bytes

    async def entry(self, found: Found, base_url: str) -> Entry:
        """Describe a single file, folder or manifest.

        Args:
            found: what to describe.
            base_url: what URLs in a manifest begin with.

        Returns:
            Its entry in a listing.
        """
        if isinstance(found, ManifestRequest):
            return manifest_entry(found.folder, await self.size_bytes(found, base_url))
        return folder_entry(found) if isinstance(found, Folder) else file_entry(found)

    async def listing(self, found: Found | Matches, base_url: str, form: Form) -> bytes:
        """List what is in a folder, or matches; anything else is listed by itself.

        Args:
            found: what to list, as `find_listed` returned it.
            base_url: what URLs in its manifest begin with.
            form: encodes the entries.

        Returns:
            The listing.
        """
        if not isinstance(found, Folder | Matches):
            return form([await self.entry(found, base_url)])
        folder, names = found if isinstance(found, Matches) else (found, None)
        manifest_bytes = None
        count = len(folder.folders) + len(folder.files)
        if folder.tree is not None and (names is None or names.match(MANIFEST_NAME)):
            everything = ManifestRequest.about(folder, UpdateRequest())
            manifest_bytes = await self.size_bytes(everything, base_url)
        if count <= _MAX_INLINE_ENTRIES:
            return form(entries_of(folder, manifest_bytes, names))
        return await self._worker.run(lambda: form(entries_of(folder, manifest_bytes, names)))

    async def download(self, found: Found, base_url: str, offset: int, peer_host: str) -> Download:
        """Prepare something for sending.

        Args:
            found: what to send.
            base_url: what URLs in a manifest begin with.
            offset: where to begin, in bytes.
            peer_host: the address of the device that fetches a manifest.

        Returns:
            What is ready to be sent.

        Raises:
            Refused: it is a folder, or has no such offset.
            OTAServerError: see `UpdateServer.open`.
        """
        if isinstance(found, ManifestRequest):
            self._server.check_in(found, peer_host)
            body = (await self.manifest(found, base_url)).body
            _check_offset(offset, len(body))
            return bytes_download(body, offset)
        if isinstance(found, Folder):
            raise Refused(550, "That is a folder.")
        _check_offset(offset, found.size_bytes)
        opened = self._server.open(found)
        if isinstance(opened, Deferred):
            opened = await opened
        size_bytes = found.size_bytes - offset
        transfer = FileTransfer(opened, offset, size_bytes)
        return Download(transfer, size_bytes, found.size_bytes)


def bytes_download(body: bytes, offset: int = 0) -> Download:
    """Prepare bytes for sending.

    Args:
        body: what to send.
        offset: where to begin, in bytes.

    Returns:
        What is ready to be sent.
    """
    rest = body[offset:]
    return Download(BytesTransfer(rest), len(rest), len(body), rest)


@implementer(IRealm)
class Realm:
    """Gives the same shell to every user who logs in.

    Args:
        shell: that shell.
    """

    def __init__(self, shell: ReadOnlyShell) -> None:
        self._shell = shell

    def requestAvatar(
        self, avatar_id: object, mind: object, *interfaces: type[Interface]
    ) -> "Deferred[tuple[type[Interface], ReadOnlyShell, Callable[[], Any]]]":
        """Hand out the shell; a log-out has nothing to end. See `IRealm.requestAvatar`.

        Args:
            avatar_id: who has logged in.
            mind: unused.
            interfaces: the requested interfaces; `IShell` must be among them.

        Returns:
            Fires with the interface, the shell, and what to call at the log-out.
        """
        if IShell not in interfaces:
            raise NotImplementedError("The release tree has no interface other than IShell.")
        return succeed((IShell, self._shell, _log_out))


def _log_out() -> None:
    """Do nothing: the shared shell has nothing to release."""


def _check_offset(offset: int, size_bytes: int) -> None:
    """Refuse an offset beyond the end (RFC 3659, section 5.2)."""
    if offset > size_bytes:
        raise Refused(554, f"There are {size_bytes} bytes, and none at that offset.")
