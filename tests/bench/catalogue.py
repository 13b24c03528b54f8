"""What a large tree costs: to read, to read again, and after a restart."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.scan import Scanner
from tests.bench import trees
from tests.bench.servers import otaserver, require

FILES = 10_000
FILE_SIZE_BYTES = 100_000
MANY_FILES = 200_000
MANY_SIZE_BYTES = 100
PATH = "/manifest.json?current_ver=1.0.0"
Result = TypeVar("Result")


def run(runs: int, seconds: int) -> None:
    """Measure scans of 10,000 files of 1 GB in all, and of 200,000 small ones."""
    require("curl", "taskset")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "releases"
        trees.large(root, FILES, FILE_SIZE_BYTES)
        print(f"{FILES:,} files of {FILE_SIZE_BYTES:,} bytes")
        _scans(root, runs)
        with otaserver(root, folder / "state", PATH):
            pass
        _warm_restart(root, folder / "state")
    _many()


def _many() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "releases"
        trees.large(root, MANY_FILES, MANY_SIZE_BYTES)
        print(f"{MANY_FILES:,} files of {MANY_SIZE_BYTES:,} bytes")
        started_s = time.perf_counter()
        with otaserver(root, folder / "state", PATH) as peer:
            taken_s = time.perf_counter() - started_s
            print(f"first answer, all hashed          {taken_s * 1000:8.0f} ms")
            print(f"peak memory after a manifest      {peer.peak_mb():8.1f} MB")
        _warm_restart(root, folder / "state")
        bare_s = _timed(lambda: _bare_walk(root))[0]
        print(f"for comparison, a bare walk       {bare_s * 1000:8.0f} ms")


def _scans(root: Path, runs: int) -> None:
    scanner = Scanner(str(root), HashStore(":memory:"), settle_s=0)
    first_s, catalogue = _timed(scanner.scan)
    print(f"first scan, all hashed            {first_s * 1000:8.0f} ms")
    unchanged_s = median(_timed(lambda: scanner.scan(catalogue))[0] for _ in range(runs))
    print(f"scan with nothing changed         {unchanged_s * 1000:8.0f} ms")
    changed_s = []
    for number in range(runs):
        file = root / "1.0.5" / "flash" / "lib0" / "file_5.py"
        file.write_bytes(os.urandom(FILE_SIZE_BYTES + number))
        taken_s, newer = _timed(partial(scanner.scan, catalogue))
        assert newer is not catalogue
        catalogue = newer
        changed_s.append(taken_s)
    print(f"scan with one file changed        {median(changed_s) * 1000:8.0f} ms")
    bare_s = median(_timed(lambda: _bare_walk(root))[0] for _ in range(runs))
    print(f"for comparison, a bare walk       {bare_s * 1000:8.0f} ms")


def _warm_restart(root: Path, state: Path) -> None:
    started_s = time.perf_counter()
    with otaserver(root, state, PATH) as peer:
        print(
            f"first answer after a restart      {(time.perf_counter() - started_s) * 1000:8.0f} ms"
        )
        subprocess.run(["curl", "-sf", "-o", os.devnull, peer.url], check=True)
        print(f"peak memory after a manifest      {peer.peak_mb():8.1f} MB")


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started_s = time.perf_counter()
    result = work()
    return time.perf_counter() - started_s, result


def _bare_walk(root: Path) -> None:
    for parent, _, names in os.walk(root):
        for name in names:
            os.stat(os.path.join(parent, name))
