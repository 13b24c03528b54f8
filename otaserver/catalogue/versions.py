"""The order of versions: PEP 440 as far as it can be read, then the rest loosely.

People write versions that PEP 440 does not know: ``git describe`` gives
``v1.1.0-3-gabc1234``, a vendor ``1.20.0.rc11.1``. So a version is compared by its longest
beginning that PEP 440 reads, and where two are equal, by the rest: numbers as numbers,
everything else as text, nothing before something.

A beginning ends between words, never inside one: in ``1.0.0-bugfix``, the ``b`` does not
stand for a beta.
"""

import re
from typing import NamedTuple

from packaging.version import VERSION_PATTERN, InvalidVersion, Version

_VERSION_NAME = re.compile(r"[vV]?[0-9]", re.ASCII)
_PEP440 = re.compile(VERSION_PATTERN, re.VERBOSE | re.IGNORECASE)
_REST_PARTS = re.compile(r"[0-9]+|[^0-9.]+", re.ASCII)
_DIGITS = frozenset("0123456789")


class Rank(NamedTuple):
    """A version's position in the order of all versions; compare with ``<`` and ``==``.

    Attributes:
        beginning: the part that PEP 440 reads.
        rest: the sort key of what follows it.
    """

    beginning: Version
    rest: tuple[tuple[int, int, str], ...]


def is_version_name(name: str) -> bool:
    """Return whether a folder of this name is a release rather than a product.

    Args:
        name: the folder's name.

    Returns:
        Whether it begins with a digit, or with ``v`` or ``V`` and a digit.
    """
    return _VERSION_NAME.match(name) is not None


def rank(version: str) -> Rank | None:
    """Rank a version in the order of all versions.

    Args:
        version: any text, up to a few hundred characters long, such as ``1.0.1``,
            ``v2.0rc1`` or ``v1.1.0-3-gabc1234``.

    Returns:
        The rank; None if no beginning can be read, as in ``unknown``. ``1.0`` and
        ``1.0.0`` are of equal rank, as in PEP 440.
    """
    greedy = _PEP440.match(version)
    if greedy is None:
        return None
    for end in range(greedy.end(), 0, -1):
        if not _is_inside_word(version, end):
            try:
                return Rank(Version(version[:end]), _loose(version[end:]))
            except InvalidVersion:
                pass
    return None


def rank_of_name(name: str) -> Rank:
    """Rank a version that names a release or firmware.

    Args:
        name: a name for which `is_version_name` is true: its beginning is readable.

    Returns:
        Its rank.
    """
    found = rank(name)
    assert found is not None, name
    return found


def _is_inside_word(text: str, at: int) -> bool:
    """Tell whether a cut would go through a number or a run of letters."""
    if at == len(text):
        return False
    before, after = text[at - 1], text[at]
    if before in _DIGITS or after in _DIGITS:
        return before in _DIGITS and after in _DIGITS
    return before.isalpha() and after.isalpha()


def _loose(rest: str) -> tuple[tuple[int, int, str], ...]:
    """Compare numbers as numbers and the rest as text, like distutils' LooseVersion.

    Numbers sort before text, so that any two parts can be compared.
    """
    return tuple(
        # Only ASCII digits: int() accepts or rejects others, such as "²", unpredictably.
        (0, int(part), "") if part[0] in _DIGITS else (1, 0, part)
        for part in _REST_PARTS.findall(rest)
    )
