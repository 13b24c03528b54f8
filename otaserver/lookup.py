"""What there is at a path: a file, a folder, or a manifest; the same for every protocol."""

from dataclasses import dataclass

from otaserver.catalogue import MANIFEST_NAME, Catalogue, File, Folder
from otaserver.errors import OTAServerError
from otaserver.sentences import NOTHING_HERE, TREE_NOT_READ_YET
from otaserver.update_request import UpdateRequest, parse_update_request


class NothingHere(OTAServerError):
    """There is nothing at a path that may be served."""

    def __init__(self) -> None:
        super().__init__(NOTHING_HERE)


class TreeNotReadYet(OTAServerError):
    """There is no catalogue yet to look anything up in."""

    def __init__(self) -> None:
        super().__init__(TREE_NOT_READ_YET)


@dataclass(frozen=True, slots=True)
class ManifestQuestion:
    """A device asks for its manifest.

    Attributes:
        folder: the release tree that it asks about.
        request: what it says of itself.
    """

    folder: Folder
    request: UpdateRequest


def look_up(
    catalogue: Catalogue | None, names: tuple[str, ...], is_folder: bool, query: bytes = b""
) -> File | Folder | ManifestQuestion:
    """Find what is at a path.

    Args:
        catalogue: the newest one; None where there is none yet.
        names: the names on the way from the root.
        is_folder: whether the path ends with ``/``, and so can't be a file's.
        query: what a device says of itself; ignored where there is no manifest.

    Raises:
        TreeNotReadYet: there is no catalogue yet.
        NothingHere: it has nothing at this path.
        otaserver.update_request.BadUpdateRequest: the query is wrong.
    """
    if catalogue is None:
        raise TreeNotReadYet
    if names and names[-1] == MANIFEST_NAME and not is_folder:
        folder = catalogue.find(names[:-1])
        if isinstance(folder, Folder) and folder.tree is not None:
            return ManifestQuestion(folder, parse_update_request(query))
    entry = catalogue.find(names)
    if entry is None or (is_folder and isinstance(entry, File)):
        raise NothingHere
    return entry
