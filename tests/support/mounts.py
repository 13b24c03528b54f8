"""File systems of a test's own, where the machine lets it mount any."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip(f"there is no {command[0]} here")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{' '.join(command[:3])} fails here: {error.stderr.strip()}")


@contextlib.contextmanager
def mounted(place: Path, kind: str, *options: str) -> Iterator[None]:
    """Mount a file system without a disk, such as ``tmpfs``, until the block ends."""
    place.mkdir(exist_ok=True)
    _run("mount", "-t", kind, "-o", ",".join(options), kind, str(place))
    try:
        yield
    finally:
        unmount(place)


def unmount(place: Path) -> None:
    """Take a file system away, even while it is in use, as when a stick is pulled out."""
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True, timeout=30)
