"""What a URI leads to: a device's request, a file, or a folder's page.

Routes are kept by URI until the catalogue changes, so that a repeated URI is neither
parsed nor looked up again. Nothing that depends on which device asks is kept with
them: every GET of a manifest still goes through `UpdateServer.check_in` and
`UpdateServer.manifest`.
"""

import hashlib
import mimetypes
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from otaserver.byte_cache import ByteCache
from otaserver.catalogue.model import File, Folder
from otaserver.catalogue.names import firmware_version
from otaserver.catalogue.versions import is_version_name
from otaserver.encoded_manifests import EncodedManifest
from otaserver.http.answers import Answer, answer, sentence
from otaserver.http.conditions import http_date
from otaserver.http.folder_page import folder_page
from otaserver.http.html_page import PAGE_FIELDS
from otaserver.http.target import Target
from otaserver.packages import Document, Packages
from otaserver.service import Found, ManifestRequest, NothingHere, UpdateServer
from otaserver.worker import Worker

# A page of more entries takes milliseconds to render, too long for the reactor's thread.
_MAX_INLINE_ENTRIES = 500

# How much memory a device's request takes once it is parsed: versions become objects of
# many parts, one for every few bytes that a client sends.
_QUESTION_BYTES = 4096
_BYTES_PER_QUERY_BYTE = 64

# How long a cache may keep what never changes.
_CONTENT_MAX_AGE_S = 604800


class Route(NamedTuple):
    """What a URI leads to.

    Attributes:
        authority: the host, if the URI itself names one.
        end: the answer; or the device's request, if the answer depends on the device.
    """

    authority: bytes | None
    end: Answer | ManifestRequest


class Routes:
    """Follows URIs, and remembers where they lead.

    Args:
        server: finds what is served.
        packages: finds what MicroPython's installer asks for.
        worker: renders large pages.
        max_bytes: how much memory remembered routes may take.
    """

    def __init__(
        self, server: UpdateServer, packages: Packages, worker: Worker, max_bytes: int
    ) -> None:
        self._server = server
        self._packages = packages
        self._worker = worker
        self._known: ByteCache[bytes, Route] = ByteCache(max_bytes)
        self._generation = 0
        # Python's own table, whatever the machine's mime.types files say.
        self._types = mimetypes.MimeTypes()

    def known(self, uri: bytes) -> Route | None:
        """Recall where a URI leads.

        Args:
            uri: the URI, as the client sent it.

        Returns:
            The route; None if the URI has to be followed first.
        """
        return self._known.get(uri)

    async def follow(self, uri: bytes, target: Target) -> Route:
        """Find out where a URI leads, and remember it.

        Args:
            uri: the URI, as the client sent it.
            target: the same, parsed.

        Returns:
            The route.

        Raises:
            OTAServerError: see `UpdateServer.find` and `Packages.find`.
        """
        generation = self._generation
        found = await self._find(target)
        if isinstance(found, ManifestRequest):
            route = Route(target.authority, found)
            size_bytes = _QUESTION_BYTES + len(uri) + _BYTES_PER_QUERY_BYTE * len(target.query)
        else:
            end = await self._end(found, target)
            route = Route(target.authority, end)
            # The URI counts too: a client can make it longer than the answer.
            size_bytes = len(end.body) + len(uri)
        if generation == self._generation:
            self._known.put(uri, route, size_bytes)
        return route

    def clear(self) -> None:
        """Forget every route, because the catalogue has changed."""
        self._generation += 1
        self._known.clear()

    async def _find(self, target: Target) -> Found | Document:
        try:
            return self._server.find(target.path, target.query)
        except NothingHere:
            found = await self._packages.find(target.path)
            if found is None:
                raise
            return found

    async def _end(self, found: File | Folder | Document, target: Target) -> Answer:
        if isinstance(found, Document):
            return _document_answer(found)
        if isinstance(found, File):
            return self._file(found)
        return await self._folder(found, target)

    def _file(self, file: File) -> Answer:
        fields = {
            "Content-Type": self._content_type(file.name),
            "ETag": f'"{file.sha256}"',
            "Last-Modified": http_date(file.mtime_s),
            "Cache-Control": _file_caching(file),
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }
        return answer(HTTPStatus.OK, fields, file=file)

    async def _folder(self, folder: Folder, target: Target) -> Answer:
        if not target.path.is_folder:
            # Relative, so that it also leads there behind a proxy that serves the tree below
            # another path. Without the "./", a colon in it would end a URL scheme.
            location = f"./{quote(folder.name)}/"
            moved = HTTPStatus.MOVED_PERMANENTLY
            return sentence(moved, f"A folder ends with a slash: {location}", Location=location)
        view = self._server.view(target.path)
        entries = len(folder.folders) + len(folder.files) + len(view.problems)
        if entries <= _MAX_INLINE_ENTRIES:
            return _page_answer(folder_page(view))
        return _page_answer(await self._worker.run(folder_page, view))

    def _content_type(self, name: str) -> str:
        kind, encoding = self._types.guess_type(name)
        if kind is None or encoding is not None:
            return "application/octet-stream"
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def manifest_answer(manifest: EncodedManifest) -> Answer:
    """Turn a manifest into an answer.

    Args:
        manifest: the manifest.

    Returns:
        The answer.
    """
    body, etag, fields, length_line = manifest
    return Answer(200, fields, length_line, body, etag)


def _page_answer(page: bytes) -> Answer:
    return answer(
        HTTPStatus.OK,
        {
            **PAGE_FIELDS,
            "ETag": f'"{hashlib.sha256(page).hexdigest()}"',
            "Cache-Control": "no-cache",
        },
        page,
    )


def _document_answer(document: Document) -> Answer:
    """Answer with a file of a package, or with what describes one."""
    is_content = document.is_named_by_hash
    fields = {
        "Content-Type": "application/octet-stream" if is_content else "application/json",
        "ETag": f'"{document.sha256}"',
        "Cache-Control": f"public, max-age={_CONTENT_MAX_AGE_S if is_content else 10}",
        "X-Content-Type-Options": "nosniff",
    }
    return answer(HTTPStatus.OK, fields, document.body)


def _file_caching(file: File) -> str:
    """Released files don't change; files beside releases may be replaced."""
    parts = file.path.split("/")
    if any(map(is_version_name, parts[:-1])) or firmware_version(parts[-1]) is not None:
        return f"public, max-age={_CONTENT_MAX_AGE_S}"
    return "no-cache"
