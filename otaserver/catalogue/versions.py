"""Order of versions: PEP 440 where it applies, and a total order for the rest."""

import re
from typing import Any, NamedTuple

from packaging.version import InvalidVersion, Version

_VERSION_NAME = re.compile(r"v?[0-9]", re.ASCII)
_LOOSE_PARTS = re.compile(r"[0-9]+|[^0-9.]+", re.ASCII)
_DIGITS = frozenset("0123456789")


class Rank(NamedTuple):
    """Where a version stands among all others; compare two with ``<`` and ``==``.

    Attributes:
        is_pep440: whether PEP 440 knows the version. Those that it does not
            know stand below all that it knows.
        order: what is compared between two of the same kind.
    """

    is_pep440: bool
    order: Any


def is_version_name(name: str) -> bool:
    """Tell whether a folder of this name is a release rather than a product.

    Args:
        name: a file name: a version begins with a digit, or ``v`` and a digit.
    """
    return _VERSION_NAME.match(name) is not None


def rank(version: str) -> Rank:
    """Give a version its place in the order of all versions.

    Args:
        version: any text of at most a few hundred characters, such as
            ``1.0.1``, ``v2.0rc1`` or ``2024-site-b``.

    Returns:
        The rank. ``1.0`` and ``1.0.0`` are of equal rank, as in PEP 440.
    """
    try:
        return Rank(True, Version(version))
    except InvalidVersion:
        return Rank(False, _loose_order(version))


def _loose_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Numbers as numbers, the rest as text, in the spirit of LooseVersion.

    A number stands before a text, so that two parts always compare.
    """
    return tuple(
        # Text has digits as well that Python's int() takes or chokes on, such as "²".
        (0, int(part), "") if part[0] in _DIGITS else (1, 0, part)
        for part in _LOOSE_PARTS.findall(version.removeprefix("v"))
    )
