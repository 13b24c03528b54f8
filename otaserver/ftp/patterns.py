"""Patterns of file names in LIST, NLST, MLSD and STAT: ``*``, ``?`` and ``[ab]``.

FTP leaves it to the server what a pattern means, and ``mget`` of most clients relies on it.
Here, a pattern stands in the last part of a path only, so it is matched against the names
in one folder, and what that takes is bounded: Python's translation to a regular expression
never goes back over what ``*`` has matched, however many there are.
"""

import re
from fnmatch import translate
from typing import NamedTuple

from otaserver.catalogue.model import Folder
from otaserver.ftp.errors import Refused

# As long as names are on most file systems.
MAX_PATTERN_LENGTH = 255

_WILDCARDS = frozenset("*?[")


class Matches(NamedTuple):
    """What a pattern matches in a folder.

    Attributes:
        folder: the folder.
        names: matches the names.
    """

    folder: Folder
    names: "re.Pattern[str]"


def is_pattern(name: str) -> bool:
    """Return whether a name may be meant as a pattern.

    Args:
        name: the last part of a path; a file or folder may have this very name.

    Returns:
        Whether it contains a wildcard.
    """
    return not _WILDCARDS.isdisjoint(name)


def compiled(pattern: str) -> "re.Pattern[str]":
    """Make a pattern ready to be matched.

    Args:
        pattern: such as ``firmware_*.bin``; what begins like a set and doesn't end stands
            for itself.

    Returns:
        What matches the same names.

    Raises:
        Refused: it is too long.
    """
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise Refused(501, f"A pattern may have at most {MAX_PATTERN_LENGTH} characters.")
    return re.compile(translate(pattern))
