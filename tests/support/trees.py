"""Release trees on disk, and catalogues of them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.model import Catalogue
from otaserver.catalogue.scan import Scanner
from otaserver.clock import Clock as AnyClock
from otaserver.disk.disk import Disk
from otaserver.disk.open_files import OpenFiles
from otaserver.worker import Worker
from tests.support.worker import ImmediateWorker

SMALL_TREE = {
    "1.0.0/flash/main.py": b"print(1)\n",
    "1.0.0/flash/old.py": b"old\n",
    "1.0.0/flash/same.py": b"same\n",
    "1.0.1/flash/main.py": b"print(2)\n",
    "1.0.1/flash/lib/new_lib.py": b"new\n",
    "1.0.1/flash/same.py": b"same\n",
    "firmware_1.0.1.bin": b"\xe9firmware",
}


def write_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files by their path below a root, and give the root back."""
    root.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return root


def scanner(root: Path, **options: Any) -> Scanner:
    """A scanner that offers what was written just now."""
    return Scanner(str(root), HashStore(":memory:"), **{"settle_s": 0, **options})


def scanned(root: Path) -> Catalogue:
    """Take one picture of a tree."""
    return scanner(root).scan()


def files_of(
    root: Path,
    worker: Worker | None = None,
    clock: AnyClock | None = None,
    timeout_s: float = 20,
    max_waiting: int = 1000,
    max_kept: int = 100,
) -> OpenFiles:
    """What opens the files of a tree; by default at once."""
    clock = clock or Clock()
    disk = Disk(clock, worker or ImmediateWorker(), timeout_s, max_waiting)
    return OpenFiles(str(root), disk, clock, max_kept)


def rewrite(path: Path, content: bytes) -> None:
    """Change a file in place so that its stamp surely changes with it."""
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))
