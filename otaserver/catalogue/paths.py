"""Paths in a release tree, as clients write them."""

from typing import NamedTuple

from otaserver.errors import OTAServerError

MAX_PATH_BYTES = 4096


class BadPath(OTAServerError):
    """A malformed path, which can't lead anywhere in a release tree."""


class TreePath(NamedTuple):
    """Where something is in a release tree.

    Attributes:
        names: the names on the way to it, from the root.
        is_folder: whether it was written as only a folder's path can be.
    """

    names: tuple[str, ...]
    is_folder: bool


def decode_path(path: bytes) -> str:
    """Decode a path.

    Args:
        path: what the client sent, without escapes.

    Returns:
        The path as text.

    Raises:
        BadPath: it is too long, not UTF-8, or contains a NUL.
    """
    if len(path) > MAX_PATH_BYTES:
        raise BadPath(f"The path is longer than {MAX_PATH_BYTES} bytes.")
    try:
        text = path.decode()
    except UnicodeDecodeError as error:
        raise BadPath("The path is not UTF-8.") from error
    if "\0" in text:
        raise BadPath("The path contains a NUL.")
    return text


def split_path(path: bytes) -> TreePath:
    """Split an absolute path into names to look up.

    Args:
        path: begins with ``/``, and has no escapes left in it. A ``/`` at its end
            marks a folder.

    Returns:
        The path.

    Raises:
        BadPath: it is too long, not UTF-8, or contains a NUL, or a name that is
            empty, ``.`` or ``..``.
    """
    text = decode_path(path)
    if not text.startswith("/"):
        raise BadPath("The path does not begin with a slash.")
    names = tuple(text[1:].split("/"))
    is_folder = not names[-1]
    if is_folder:
        names = names[:-1]
    for name in names:
        if name in ("", ".", ".."):
            raise BadPath(f"The path contains the name {name!r}.")
    return TreePath(names, is_folder)
