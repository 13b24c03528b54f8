"""The order of versions: PEP 440 where it applies, and a total order for all others."""

import re
from typing import Any, NamedTuple

from packaging.version import InvalidVersion, Version

_VERSION_NAME = re.compile(r"v?[0-9]", re.ASCII)
_LOOSE_PARTS = re.compile(r"[0-9]+|[^0-9.]+", re.ASCII)
_DIGITS = frozenset("0123456789")


class Rank(NamedTuple):
    """A version's position in the order of all versions; compare with ``<`` and ``==``.

    Attributes:
        is_pep440: whether the version is valid in PEP 440. Versions that are not
            sort below all versions that are.
        order: the sort key among versions of the same kind.
    """

    is_pep440: bool
    order: Any


def is_version_name(name: str) -> bool:
    """Return whether a folder of this name is a release rather than a product.

    Args:
        name: the folder's name.

    Returns:
        Whether it begins with a digit, or with ``v`` and a digit.
    """
    return _VERSION_NAME.match(name) is not None


def rank(version: str) -> Rank:
    """Rank a version in the order of all versions (PEP 440).

    Args:
        version: any text, up to a few hundred characters long, such as ``1.0.1``,
            ``v2.0rc1`` or ``2024-site-b``.

    Returns:
        The rank. ``1.0`` and ``1.0.0`` are of equal rank, as in PEP 440.
    """
    try:
        return Rank(True, Version(version))
    except InvalidVersion:
        return Rank(False, _loose_order(version))


def _loose_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Compare numbers as numbers and the rest as text, like distutils' LooseVersion.

    Numbers sort before text, so that any two parts can be compared.
    """
    return tuple(
        # Only ASCII digits: int() accepts or rejects others, such as "²", unpredictably.
        (0, int(part), "") if part[0] in _DIGITS else (1, 0, part)
        for part in _LOOSE_PARTS.findall(version.removeprefix("v"))
    )
