"""What a package contains, as mip reads it.

A release is laid out for boards whose flash is mounted at the root: ``flash/main.py`` is
installed as ``main.py``, ``sd/log.txt`` as ``sd/log.txt``. With it comes the record of its
version, as the device library would write it: with that, the first update knows what is there.
"""

import hashlib
import json
from collections.abc import Iterable

from otaserver.catalogue.model import Folder, Release
from otaserver.catalogue.problems import printable
from otaserver.catalogue.release_rules import VERSION_RECORD
from otaserver.errors import OTAServerError

_FLASH = "flash/"


class NoSuchPackage(OTAServerError):
    """There is no such package, or no such version of it."""


def chosen_release(product: Folder, version: str | None) -> Release:
    """Find the release to install.

    Args:
        product: the folder of the product.
        version: its version; None for the newest that is offered.

    Returns:
        The release.

    Raises:
        NoSuchPackage: there is none, or devices would refuse it.
    """
    name = printable(product.path) or "The release tree"
    if product.tree is None:
        raise NoSuchPackage(f"{name} has no releases.")
    if version is None:
        if product.tree.newest_release is None:
            raise NoSuchPackage(f"{name} offers no release.")
        return product.tree.newest_release
    release = product.tree.release(version)
    if release is None:
        raise NoSuchPackage(f"{name} has no release {printable(version)}.")
    if release.problems:
        raise NoSuchPackage(f"Devices would refuse this release: {release.problems[0]}.")
    return release


def version_record(release: Release) -> bytes:
    """Write the record of a release's version.

    Args:
        release: the release.

    Returns:
        The content of ``OTA_VERSION.py``.
    """
    return f"VERSION = '{release.version}'\n".encode()


def release_index(release: Release) -> bytes:
    """Describe a release as a package.

    Args:
        release: the release.

    Returns:
        The description; the record of the version is the last file, so that an
        installation that breaks off leaves none.
    """
    hashes = [
        (path.removeprefix(_FLASH), file.sha256)
        for path, file in release.files.items()
        if path != VERSION_RECORD
    ]
    record = hashlib.sha256(version_record(release)).hexdigest()
    return encode_index(release.version, [*hashes, (VERSION_RECORD.removeprefix(_FLASH), record)])


def encode_index(version: str, hashes: Iterable[tuple[str, str]]) -> bytes:
    """Describe a package.

    Args:
        version: its version.
        hashes: the path on the device, relative to where it is installed, and the
            SHA-256 of each file.

    Returns:
        The description as JSON.
    """
    return json.dumps({"hashes": list(hashes), "v": 1, "version": version}).encode()
