"""Encoded manifests, made once for all devices that ask the same."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from otaserver.byte_cache import ByteCache
from otaserver.catalogue import Folder, ReleaseTree
from otaserver.manifest import encode, manifest_for
from otaserver.update_request import UpdateRequest
from otaserver.worker import Worker

# A manifest of more files than this takes milliseconds, too long for the reactor.
_MAX_INLINE_FILES = 100


@dataclass(frozen=True, slots=True)
class EncodedManifest:
    """A manifest as it goes over the wire.

    Attributes:
        body: the JSON text.
        sha256: the hash of it, in lower-case hexadecimal.
    """

    body: bytes
    sha256: str


class _Key(NamedTuple):
    """All that a manifest depends on, beside the catalogue."""

    tree_path: str
    current_ver: str | None
    firmware_ver: str | None
    base_url: str
    legacy: bool


class ManifestCache:
    """Makes manifests, and keeps them until the catalogue changes.

    Args:
        worker: makes the large ones.
        max_bytes: how much may be kept.
    """

    def __init__(self, worker: Worker, max_bytes: int) -> None:
        self._worker = worker
        self._encoded: ByteCache[_Key, EncodedManifest] = ByteCache(max_bytes)
        self._pending: dict[_Key, list[Deferred[EncodedManifest]]] = {}

    def get(
        self, folder: Folder, request: UpdateRequest, base_url: str, legacy: bool = False
    ) -> "Deferred[EncodedManifest]":
        """Make a manifest, or find it made.

        Args:
            folder: a release tree in the newest catalogue.
            request: what the device says of itself.
            base_url, legacy: see `otaserver.manifest.encode`.
        """
        key = _Key(folder.path, request.current_ver, request.firmware_ver, base_url, legacy)
        known = self._encoded.get(key)
        if known is not None:
            return succeed(known)
        tree = folder.tree or ReleaseTree()
        # The base counts as well: its files are compared, and may all be deleted.
        most_files = max((len(release.files) for release in tree.releases), default=0)
        if most_files <= _MAX_INLINE_FILES:
            made = _make(tree, request, base_url, legacy)
            self._encoded.put(key, made, len(made.body))
            return succeed(made)
        return self._make_in_thread(key, tree, request)

    def clear(self) -> None:
        """Forget everything, because the catalogue is a new one."""
        self._encoded.clear()
        # What is being made was asked of the old catalogue: its askers get it,
        # and nobody else.
        self._pending = {}

    def _make_in_thread(
        self, key: _Key, tree: ReleaseTree, request: UpdateRequest
    ) -> "Deferred[EncodedManifest]":
        """Make it once, however many ask for it meanwhile."""
        answer: Deferred[EncodedManifest] = Deferred()
        pending = self._pending
        if key in pending:
            pending[key].append(answer)
            return answer
        pending[key] = [answer]

        def made(result: EncodedManifest | Failure) -> None:
            if pending is self._pending and isinstance(result, EncodedManifest):
                self._encoded.put(key, result, len(result.body))
            for waiting in pending.pop(key):
                waiting.callback(result)

        self._worker.run(_make, tree, request, key.base_url, key.legacy).addBoth(made)
        return answer


def _make(
    tree: ReleaseTree, request: UpdateRequest, base_url: str, legacy: bool
) -> EncodedManifest:
    body = encode(manifest_for(tree, request), base_url, legacy)
    return EncodedManifest(body, hashlib.sha256(body).hexdigest())
