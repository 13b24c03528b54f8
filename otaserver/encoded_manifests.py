"""Encoded manifests, made once for all devices that get the same offer."""

import hashlib
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from otaserver.byte_cache import ByteCache
from otaserver.catalogue.model import Folder
from otaserver.manifest.encoding import encode
from otaserver.manifest.model import manifest_of
from otaserver.manifest.offer import Offer, OfferKey
from otaserver.worker import Worker

# Working out and encoding a manifest of more files takes milliseconds, too long
# for the reactor's thread.
_MAX_INLINE_FILES = 100


class EncodedManifest(NamedTuple):
    """A manifest as it goes over the wire.

    Attributes:
        body: the JSON text.
        etag: the entity tag of the body, with its quotes: its SHA-256 (RFC 9110,
            section 8.8.3).
        http_fields: the header lines that HTTP sends with the body, each with its
            CR LF, except for the length.
        http_length_line: the header line with the length.
    """

    body: bytes
    etag: str
    http_fields: bytes
    http_length_line: bytes


# All that an encoded manifest depends on, besides the catalogue: the path of the tree,
# the offer, and the beginning of URLs.
_Key = tuple[str, OfferKey, str]


class EncodedManifests:
    """Encodes manifests, and keeps them until the catalogue changes.

    Args:
        worker: encodes the large ones.
        max_bytes: how much memory the manifests it keeps may take.
        legacy: see `otaserver.manifest.encoding.encode`.
        varies_by_host: whether URLs depend on the host that a request names. Caches on
            the way then have to keep a manifest for each host (RFC 9110, section 12.5.5):
            otherwise one client could choose where all others fetch their files.
    """

    def __init__(
        self,
        worker: Worker,
        max_bytes: int,
        legacy: bool = False,
        varies_by_host: bool = True,
    ) -> None:
        self._worker = worker
        self._legacy = legacy
        self._vary_line = "Vary: Host\r\n" if varies_by_host else ""
        self._encoded: ByteCache[_Key, EncodedManifest] = ByteCache(max_bytes)
        self._pending: dict[_Key, list[Deferred[EncodedManifest]]] = {}

    def get(
        self, folder: Folder, offer: Offer, base_url: str
    ) -> "EncodedManifest | Deferred[EncodedManifest]":
        """Find the manifest of an offer, or make it.

        Args:
            folder: the release tree that the offer was made from.
            offer: what the device is offered.
            base_url: see `otaserver.manifest.encoding.encode`.

        Returns:
            The manifest; or a Deferred that fires with it, if a thread has to make it.
        """
        key = (folder.path, offer.key, base_url)
        known = self._encoded.get(key)
        if known is not None:
            return known
        # The base counts too: its files are compared, and may all be deleted.
        most_files = max(
            (len(release.files) for release in (offer.release, offer.base) if release is not None),
            default=0,
        )
        if most_files <= _MAX_INLINE_FILES:
            encoded = self._encode(offer, base_url)
            self._encoded.put(key, encoded, len(encoded.body))
            return encoded
        return self._encode_in_thread(key, offer)

    def clear(self) -> None:
        """Forget everything, because the catalogue has changed."""
        self._encoded.clear()
        # Those who asked about the old catalogue still get its answer when it is
        # done; nobody else does.
        self._pending = {}

    def _encode_in_thread(self, key: _Key, offer: Offer) -> "Deferred[EncodedManifest]":
        """Encode a manifest once, however many ask for it in the meantime."""
        answer: Deferred[EncodedManifest] = Deferred()
        pending = self._pending
        if key in pending:
            pending[key].append(answer)
            return answer
        pending[key] = [answer]

        def encoded(result: EncodedManifest | Failure) -> None:
            if pending is self._pending and isinstance(result, EncodedManifest):
                self._encoded.put(key, result, len(result.body))
            for waiting in pending.pop(key):
                waiting.callback(result)

        self._worker.run(self._encode, offer, key[2]).addBoth(encoded)
        return answer

    def _encode(self, offer: Offer, base_url: str) -> EncodedManifest:
        body = encode(manifest_of(offer), base_url, self._legacy)
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        fields = (
            "Content-Type: application/json\r\n"
            f"ETag: {etag}\r\n"
            "Cache-Control: public, max-age=10\r\n"
            f"{self._vary_line}"
        )
        return EncodedManifest(body, etag, fields.encode(), b"Content-Length: %d\r\n" % len(body))
