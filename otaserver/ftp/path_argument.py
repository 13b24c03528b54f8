"""Paths as FTP clients write them: relative to a folder, with ``..``, and with a question."""

import re
from typing import NamedTuple

from otaserver.catalogue.model import MANIFEST_NAME
from otaserver.catalogue.paths import TreePath, decode_path

_QUESTION = re.compile(
    rb"(?P<path>(?:.*?/)?%s)\?(?P<query>.*)" % re.escape(MANIFEST_NAME.encode()), re.DOTALL
)
_LIST_OPTIONS = re.compile(rb"(?:-[A-Za-z0-9]+(?: +|\Z))+")


class Location(NamedTuple):
    """What a command asks for.

    Attributes:
        path: where it is.
        query: what follows ``manifest.json?``.
    """

    path: TreePath
    query: bytes = b""


def resolve(folder: tuple[str, ...], argument: bytes) -> Location:
    """Find out where a path leads.

    Nothing in a path is an escape, so ``%`` and ``?`` are parts of names; only
    ``manifest.json?`` begins a device's question. The way up ends at the root.

    Args:
        folder: the names on the way to the current folder.
        argument: the path; an empty one is the current folder.

    Raises:
        otaserver.catalogue.paths.BadPath: it can't be a path in a tree.
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
    """Drop what clients write before a path as if LIST were ``ls``.

    Args:
        argument: such as ``-la flash``.
    """
    match = _LIST_OPTIONS.match(argument)
    return argument[match.end() :] if match else argument
