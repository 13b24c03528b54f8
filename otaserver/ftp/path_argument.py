"""Paths as FTP clients write them: relative, with ``..``, and with a manifest query."""

import re
from typing import NamedTuple

from otaserver.catalogue.model import MANIFEST_NAME
from otaserver.catalogue.paths import TreePath, decode_path

_QUESTION = re.compile(
    rb"(?P<path>(?:.*?/)?%s)\?(?P<query>.*)" % re.escape(MANIFEST_NAME.encode()), re.DOTALL
)
_LIST_OPTIONS = re.compile(rb"(?:-[A-Za-z0-9]+(?: +|\Z))+")


class Location(NamedTuple):
    """What a command's path refers to.

    Attributes:
        path: the path in the release tree.
        query: what follows ``manifest.json?``; empty if there is no query.
    """

    path: TreePath
    query: bytes = b""


def resolve(folder: tuple[str, ...], argument: bytes) -> Location:
    """Resolve a path against the working directory.

    FTP paths have no escapes, so ``%`` and ``?`` are ordinary characters in names;
    only ``manifest.json?`` introduces a device's query. ``..`` at the root stays
    at the root.

    Args:
        folder: the names along the path from the root to the working directory.
        argument: the path; an empty one means the working directory.

    Returns:
        The absolute path, and the query if there is one.

    Raises:
        otaserver.catalogue.paths.BadPath: the path is malformed.
    """
    question = _QUESTION.fullmatch(argument)
    path, query = (question["path"], question["query"]) if question else (argument, b"")
    text = decode_path(path)
    names = [] if text.startswith("/") else list(folder)
    parts = text.split("/")
    for part in parts:
        if part == "..":
            del names[-1:]
        elif part not in ("", "."):
            names.append(part)
    return Location(TreePath(tuple(names), parts[-1] in ("", ".", "..")), query)


def without_options(argument: bytes) -> bytes:
    """Strip the ``ls`` options that some clients send with LIST and NLST.

    Args:
        argument: the argument as sent, such as ``-la flash``.

    Returns:
        The path alone; empty if there were only options.
    """
    match = _LIST_OPTIONS.match(argument)
    return argument[match.end() :] if match else argument
