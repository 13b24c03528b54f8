"""Paths in a release tree, as clients write them."""

from typing import NamedTuple

from otaserver.errors import OTAServerError

MAX_PATH_BYTES = 4096


class BadPath(OTAServerError):
    """A malformed path, which can't exist in any release tree."""


class TreePath(NamedTuple):
    """An absolute path in a release tree.

    Attributes:
        names: the names along the path from the root.
        is_folder: whether its form, such as a trailing ``/``, allows only a folder.
    """

    names: tuple[str, ...]
    is_folder: bool


def decode_path(path: bytes) -> str:
    """Decode a path.

    Args:
        path: the path as sent, with escapes already decoded.

    Returns:
        The path as text.

    Raises:
        BadPath: it is too long, is not UTF-8, or contains a NUL.
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
        path: the path, with escapes already decoded. It must begin with ``/``; a
            trailing ``/`` marks a folder.

    Returns:
        The path.

    Raises:
        BadPath: it is too long, is not UTF-8, does not begin with ``/``, or contains
            a NUL or a name that is empty, ``.`` or ``..``.
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
