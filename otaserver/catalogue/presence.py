"""Telling a tree, or a part of one, that is away for a moment from one that has changed.

Releases are often on a stick or a card. When it is pulled out, there are several things to
see: its folder is gone, or empty; reading it fails; or, with FAT, what the kernel does not
remember of it seems empty, without any error. To take that for a change would tell devices
that there is nothing for them, which they believe. So what was there is kept, and requests
for it are to be tried again, as long as the folder is missing or empty, or the kernel no
longer knows the disk. Nobody needs a tree that is empty; whoever empties one on purpose, and
whose server says that it is away, deletes the folder or restarts the server.
"""

import errno
import os

from otaserver.catalogue.model import Catalogue
from otaserver.catalogue.walk import TreeWalker, WalkedFolder
from otaserver.errors import OTAServerError

_MEANS_AWAY = frozenset(
    {
        errno.ENOENT,
        errno.EIO,
        errno.ENXIO,
        errno.ENODEV,
        errno.ENOMEDIUM,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.ESHUTDOWN,
        errno.EHOSTDOWN,
    }
)

_CANNOT_READ = "can't read the release tree"


class ScanError(OTAServerError):
    """The root of the tree can't be read."""


class RootAway(ScanError):
    """The root of the tree is missing or empty, or on a disk that is."""


def means_away(error: OSError) -> bool:
    """Tell whether an error means that a disk is not there, rather than a fault of its use.

    Args:
        error: what a call to the system failed with.

    Returns:
        Whether it does.
    """
    return error.errno in _MEANS_AWAY


def read_root(walker: TreeWalker, previous: Catalogue | None, is_awaited: bool) -> WalkedFolder:
    """Read the root of a tree.

    Args:
        walker: reads it.
        previous: the catalogue from the last scan.
        is_awaited: whether the root is away as long as it is empty, even at first.

    Returns:
        The root, but not its subfolders.

    Raises:
        RootAway: it is not there.
        ScanError: it can't be read.
    """
    try:
        top = walker.walk_one("")
    except OSError as error:
        kind = RootAway if means_away(error) else ScanError
        raise kind(f"{_CANNOT_READ}: {error}") from error
    if top.is_empty() and (is_awaited or (previous is not None and not previous.root.is_empty())):
        raise RootAway(f"{_CANNOT_READ}: {walker.absolute('')} is empty")
    return top


def check_root_is_there(walker: TreeWalker, top: WalkedFolder) -> None:
    """Check after a scan that its root was not taken away in the middle of it.

    Args:
        walker: what was used for the scan.
        top: the root as it was at the beginning.

    Raises:
        RootAway: it was.
    """
    try:
        is_there = os.stat(walker.absolute("")).st_dev == top.device
    except OSError:
        is_there = False
    if not is_there or walker.file_systems.is_gone(top.device):
        raise RootAway(f"{_CANNOT_READ}: {walker.absolute('')} was taken away")
