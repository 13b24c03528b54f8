"""The addresses that mip asks for, below the index that it is given.

mip knows two: ``package/MPY/NAME/VERSION.json`` says which files a package has, and
``file/HH/HASH`` is one of them. ``MPY`` is the version of .mpy files that the device
loads, or ``py`` for source; ``VERSION`` may be ``latest``; ``HH`` are the first two digits
of the hash. Source: MicroPython's documentation, "Package management", and mip itself.

The index is at ``/pi``. It has no folder of its own there: whatever the release tree has
at a path comes first, so a product may be called ``pi``, too.
"""

import re
from typing import NamedTuple

from otaserver.catalogue.paths import TreePath

INDEX_NAME = "pi"
LIBRARY_NAME = "ota"
RELEASE_NAME = "release"

_MPY_VERSION = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class PackageAddress(NamedTuple):
    """Where a package is described.

    Attributes:
        mpy_version: the version of .mpy files that the device loads; None for source.
        product: the names along the path of the product whose release it is; empty for
            the root, and for the library.
        name: the package's name, without the product.
        version: the version that is asked for; None for the newest.
    """

    mpy_version: int | None
    product: tuple[str, ...]
    name: str
    version: str | None


class ContentAddress(NamedTuple):
    """Where the content of a file is.

    Attributes:
        sha256: its SHA-256, in lower-case hexadecimal.
    """

    sha256: str


def parse_address(path: TreePath) -> PackageAddress | ContentAddress | None:
    """Tell what mip asks for.

    Args:
        path: the path.

    Returns:
        The address; None if mip asks for no such path.
    """
    if path.is_folder:
        return None
    match path.names:
        case (first, "file", digits, sha256) if first == INDEX_NAME:
            is_hash = _SHA256.fullmatch(sha256) and sha256.startswith(digits) and len(digits) == 2
            return ContentAddress(sha256) if is_hash else None
        case (first, "package", mpy, *product, name, last) if first == INDEX_NAME:
            version = last.removesuffix(".json")
            if version == last or not (mpy == "py" or _MPY_VERSION.fullmatch(mpy)):
                return None
            return PackageAddress(
                None if mpy == "py" else int(mpy),
                tuple(product),
                name,
                None if version == "latest" else version,
            )
    return None
