"""``os`` of a device whose file system finds a name in any case, as FAT does."""

import os
from typing import Any


class FoldingOS:
    """Put in place of ``os`` in a module of the device library."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def stat(self, path: str) -> os.stat_result:
        return os.stat(as_listed(path))


def as_listed(path: str) -> str:
    """Return a path with each name in the case that its folder lists."""
    found = ""
    for part in str(path).split("/")[1:]:
        names = os.listdir(found or "/") if os.path.isdir(found or "/") else []
        same = [name for name in names if name.lower() == part.lower()]
        found += "/" + (same[0] if same else part)
    return found
