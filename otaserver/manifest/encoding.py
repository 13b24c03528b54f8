"""Manifests in the wire format."""

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice
from typing import Any
from urllib.parse import quote

from otaserver.catalogue.model import File
from otaserver.manifest.difference import FileToInstall
from otaserver.manifest.model import Manifest

# A manifest of 60,000 files written as one string takes three times its size meanwhile, and
# no other thread runs.
_FILES_AT_ONCE = 200


def encode(manifest: Manifest | None, base_url: str, legacy: bool = False) -> bytes:
    """Write a manifest in the wire format: JSON (RFC 8259) with sorted keys.

    Args:
        manifest: what to write; None becomes ``null``.
        base_url: what precedes the path of a file, without a ``/`` at its end,
            such as ``http://192.168.1.10:8000``.
        legacy: whether paths on the device begin with ``/``, as the original
            client needs them to.

    Returns:
        The text, in ASCII.
    """
    if manifest is None:
        return b"null"
    # Its buffer becomes the result without being copied.
    text = BytesIO()
    for part in _parts(manifest, base_url, "/" if legacy else ""):
        text.write(part.encode())
    return text.getvalue()


def _parts(manifest: Manifest, base_url: str, root: str) -> Iterator[str]:
    yield '{"delete": '
    yield from _list(manifest.delete)
    if manifest.firmware is not None:
        content = _content(manifest.firmware.file, base_url)
        yield f', "firmware": {_dumps({**content, "version": manifest.firmware.version})}'
    yield ', "new": '
    yield from _list(_files(manifest.new, base_url, root))
    yield f', "previous_version": {_dumps(manifest.previous_version)}'
    if manifest.release is not None:
        yield f', "release": {_dumps(manifest.release)}'
    yield ', "update": '
    yield from _list(_files(manifest.update, base_url, root))
    yield f', "version": {_dumps(manifest.version)}}}'


def _list(items: Iterable[Any]) -> Iterator[str]:
    rest = iter(items)
    separator = "["
    while batch := list(islice(rest, _FILES_AT_ONCE)):
        yield separator + _dumps(batch)[1:-1]
        separator = ", "
    yield "[]" if separator == "[" else "]"


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _files(files: Iterable[FileToInstall], base_url: str, root: str) -> Iterator[dict[str, Any]]:
    return ({**_content(item.file, base_url), "dst_path": root + item.dst_path} for item in files)


def _content(file: File, base_url: str) -> dict[str, Any]:
    return {
        "URL": f"{base_url}/{quote(file.path)}",
        "hash": file.sha1,
        "sha256": file.sha256,
        "size": file.size_bytes,
    }
