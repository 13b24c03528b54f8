"""The folders of a device that releases may have files in, as options name them."""

import re

from otaserver.catalogue.versions import is_version_name
from otaserver.errors import OTAServerError

# The device library takes the same names.
_ROOT_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class BadRoots(OTAServerError):
    """A list of roots is malformed."""


def parse_roots(text: str) -> tuple[str, ...]:
    """Parse a list of roots.

    Args:
        text: the names of folders, separated by commas, such as ``flash,sd``.

    Returns:
        The names.

    Raises:
        BadRoots: a name can't be that of a root, or two are the same to FAT.
    """
    roots = tuple(text.split(","))
    # A root named like a version would be taken for a release inside the release.
    are_names = all(_ROOT_NAME.fullmatch(name) and not is_version_name(name) for name in roots)
    if not are_names or len({name.lower() for name in roots}) < len(roots):
        raise BadRoots(f"{text!r} is not a list of different names such as flash,sd")
    return roots
