"""Manifests in the wire format."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from otaserver.catalogue.model import File
from otaserver.manifest.difference import FileToInstall
from otaserver.manifest.model import Manifest


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
    root = "/" if legacy else ""
    wire: dict[str, Any] = {
        "delete": manifest.delete,
        "new": _files(manifest.new, base_url, root),
        "previous_version": manifest.previous_version,
        "update": _files(manifest.update, base_url, root),
        "version": manifest.version,
    }
    if manifest.release is not None:
        wire["release"] = manifest.release
    if manifest.firmware is not None:
        firmware = manifest.firmware
        wire["firmware"] = {**_content(firmware.file, base_url), "version": firmware.version}
    return json.dumps(wire, sort_keys=True).encode()


def _files(files: Iterable[FileToInstall], base_url: str, root: str) -> list[dict[str, Any]]:
    return [{**_content(item.file, base_url), "dst_path": root + item.dst_path} for item in files]


def _content(file: File, base_url: str) -> dict[str, Any]:
    return {
        "URL": f"{base_url}/{quote(file.path)}",
        "hash": file.sha1,
        "sha256": file.sha256,
        "size": file.size_bytes,
    }
