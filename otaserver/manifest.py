"""What one device must do to get from its version to the one it is offered."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from otaserver.catalogue import File, Firmware, Release, ReleaseTree
from otaserver.update_request import UpdateRequest
from otaserver.versions import rank

_R = TypeVar("_R", Release, Firmware)


@dataclass(frozen=True, slots=True)
class Installed:
    """A file to put on the device.

    Attributes:
        dst_path: where it goes, such as ``flash/lib/sensor.py``.
        file: what goes there.
    """

    dst_path: str
    file: File


@dataclass(frozen=True, slots=True)
class Manifest:
    """The way from one version to another.

    Attributes:
        version: the version that the device has afterwards.
        previous_version: what it said it has; None where it said nothing.
        delete: paths on the device that the new version no longer has.
        new, update: files that it does not have, and that it has with another
            content, in order of path.
        firmware: the image to flash, where there is one.
    """

    version: str
    previous_version: str | None
    delete: tuple[str, ...] = ()
    new: tuple[Installed, ...] = ()
    update: tuple[Installed, ...] = ()
    firmware: Firmware | None = None


def manifest_for(tree: ReleaseTree, request: UpdateRequest) -> Manifest | None:
    """Decide what a device is offered.

    Files and firmware are chosen apart, each the newest if it is above what the
    device has. A base that is not in the tree is unknown: every file is new,
    and nothing is deleted.

    Args:
        tree: the versions that there are.
        request: what the device says of itself.

    Returns:
        The manifest; None where there is nothing to do.
    """
    current = request.current_ver
    release = _if_above(tree.newest_release, current)
    firmware = _if_above(tree.newest_firmware, request.firmware_ver or current)
    if release is not None:
        base = tree.release(current) if current is not None else None
        return _difference(base, release, current, firmware)
    if firmware is not None:
        return Manifest(firmware.version, current, firmware=firmware)
    return None


def encode(manifest: Manifest | None, base_url: str, legacy: bool = False) -> bytes:
    """Write a manifest in the wire format: JSON with sorted keys.

    Args:
        manifest: what to write; None becomes ``null``.
        base_url: what comes before the path of a file, without a ``/`` at its
            end, such as ``http://192.168.1.10:8000``.
        legacy: whether paths on the device begin with ``/``, as the original
            client needs them to.
    """
    if manifest is None:
        return b"null"
    root = "/" if legacy else ""
    wire: dict[str, Any] = {
        "delete": manifest.delete,
        "new": _encoded(manifest.new, base_url, root),
        "previous_version": manifest.previous_version,
        "update": _encoded(manifest.update, base_url, root),
        "version": manifest.version,
    }
    if manifest.firmware is not None:
        firmware = manifest.firmware
        wire["firmware"] = {**_content(firmware.file, base_url), "version": firmware.version}
    return json.dumps(wire, sort_keys=True).encode()


def _if_above(newest: _R | None, version: str | None) -> _R | None:
    """The newest, unless the device has it already, or something newer still."""
    if newest is None or version is None or newest.rank > rank(version):
        return newest
    return None


def _difference(
    base: Release | None, release: Release, current: str | None, firmware: Firmware | None
) -> Manifest:
    old = base.files if base is not None else {}
    delete = tuple(path for path in old if path not in release.files)
    new = []
    update = []
    for path, file in release.files.items():
        if path not in old:
            new.append(Installed(path, file))
        elif old[path].sha256 != file.sha256:
            update.append(Installed(path, file))
    return Manifest(release.version, current, delete, tuple(new), tuple(update), firmware)


def _encoded(installed: Iterable[Installed], base_url: str, root: str) -> list[dict[str, Any]]:
    return [
        {**_content(item.file, base_url), "dst_path": root + item.dst_path} for item in installed
    ]


def _content(file: File, base_url: str) -> dict[str, Any]:
    return {
        "URL": f"{base_url}/{quote(file.path)}",
        "hash": file.sha1,
        "sha256": file.sha256,
        "size": file.size_bytes,
    }
