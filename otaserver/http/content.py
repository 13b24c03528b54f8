"""What there is at an address: a manifest, a file, or a page for a folder."""

import hashlib
import mimetypes
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from twisted.internet.defer import Deferred, succeed

from otaserver.catalogue import Catalogue, File, Folder, firmware_version
from otaserver.http.answers import Answer, answer, sentence
from otaserver.http.conditions import http_date
from otaserver.http.folder_page import folder_page
from otaserver.http.target import Target
from otaserver.lookup import ManifestQuestion, NothingHere, TreeNotReadYet, look_up
from otaserver.manifest_cache import EncodedManifest, ManifestCache
from otaserver.versions import is_version_name
from otaserver.worker import Worker

# A page of more entries than this takes milliseconds, too long for the reactor.
_MAX_INLINE_ENTRIES = 500

_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Content:
    """Everything that the site has.

    Args:
        catalogue: gives the newest catalogue, or None before there is one.
        manifests: makes manifests.
        worker: does what takes long.
        legacy: whether manifests are for the original client.
    """

    def __init__(
        self,
        catalogue: Callable[[], Catalogue | None],
        manifests: ManifestCache,
        worker: Worker,
        legacy: bool,
    ) -> None:
        self._catalogue = catalogue
        self._manifests = manifests
        self._worker = worker
        self._legacy = legacy
        # The table that Python brings, whatever the machine's own files say.
        self._types = mimetypes.MimeTypes()

    def at(self, target: Target, base_url: str) -> "Deferred[Answer]":
        """Find what is at an address.

        Args:
            target: the address.
            base_url: what URLs in a manifest begin with.

        Raises:
            otaserver.update_request.BadUpdateRequest: it is a manifest's, and
                the query is wrong.
        """
        try:
            found = look_up(self._catalogue(), target.names, target.is_folder, target.query)
        except TreeNotReadYet as error:
            return succeed(sentence(HTTPStatus.SERVICE_UNAVAILABLE, str(error), Retry_After="1"))
        except NothingHere as error:
            return succeed(sentence(HTTPStatus.NOT_FOUND, str(error)))
        if isinstance(found, ManifestQuestion):
            encoded = self._manifests.get(found.folder, found.request, base_url, self._legacy)
            return encoded.addCallback(_manifest_answer)
        if isinstance(found, Folder):
            return self._folder(found, target)
        return succeed(answer(HTTPStatus.OK, self._file_fields(found), file=found))

    def _folder(self, folder: Folder, target: Target) -> "Deferred[Answer]":
        if not target.is_folder:
            location = quote(f"/{folder.path}/")
            moved = HTTPStatus.MOVED_PERMANENTLY
            return succeed(sentence(moved, f"The folder is at {location}.", Location=location))
        if len(folder.folders) + len(folder.files) <= _MAX_INLINE_ENTRIES:
            return succeed(_page_answer(folder_page(folder)))
        return self._worker.run(folder_page, folder).addCallback(_page_answer)

    def _file_fields(self, file: File) -> dict[str, str]:
        return {
            "Content-Type": self._content_type(file.name),
            "ETag": f'"{file.sha256}"',
            "Last-Modified": http_date(file.mtime_s),
            "Cache-Control": _file_caching(file),
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }

    def _content_type(self, name: str) -> str:
        kind, encoding = self._types.guess_type(name)
        if kind is None or encoding is not None:
            return "application/octet-stream"
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _manifest_answer(manifest: EncodedManifest) -> Answer:
    return answer(
        HTTPStatus.OK,
        {
            "Content-Type": "application/json",
            "ETag": f'"{manifest.sha256}"',
            "Cache-Control": "public, max-age=10",
        },
        manifest.body,
    )


def _page_answer(page: bytes) -> Answer:
    return answer(
        HTTPStatus.OK,
        {
            "Content-Type": "text/html; charset=utf-8",
            "ETag": f'"{hashlib.sha256(page).hexdigest()}"',
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _PAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
        },
        page,
    )


def _file_caching(file: File) -> str:
    """A released file stays what it is; what lies beside releases may be replaced."""
    parts = file.path.split("/")
    if any(map(is_version_name, parts[:-1])) or firmware_version(parts[-1]) is not None:
        return "public, max-age=604800"
    return "no-cache"
