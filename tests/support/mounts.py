"""File systems of a test's own, where the machine lets it mount any."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(place: Path, kind: str, *options: str) -> Iterator[None]:
    """Mount a file system without a disk, such as ``tmpfs``, until the block ends."""
    place.mkdir(exist_ok=True)
    _run("mount", "-t", kind, "-o", ",".join(options), kind, str(place))
    try:
        yield
    finally:
        unmount(place)


def fat_image(path: Path) -> Path:
    """Make an image of a stick with FAT."""
    return _image(path, "mkfs.vfat")


def exfat_image(path: Path) -> Path:
    """Make an image of a stick with exFAT."""
    return _image(path, "mkfs.exfat")


@contextlib.contextmanager
def mounted_image(image: Path, place: Path) -> Iterator[None]:
    """Mount an image until the block ends; exFAT in user space if the kernel has none."""
    place.mkdir(exist_ok=True)
    device = _run("losetup", "--find", "--show", str(image)).strip()
    try:
        kind = _run("blkid", "--probe", "-o", "value", "-s", "TYPE", device).strip()
        if kind == "exfat" and "\texfat\n" not in Path("/proc/filesystems").read_text():
            _run("mount.exfat-fuse", device, str(place))
        else:
            _run("mount", "-t", kind, device, str(place))
        yield
    finally:
        unmount(place)
        subprocess.run(["losetup", "--detach", device], check=False, timeout=30)


def unmount(place: Path) -> None:
    """Take a file system away, even while it is in use, as when a stick is pulled out."""
    # In user space, what was written is on the disk only once the process has ended.
    for _ in range(20):
        if not os.path.ismount(place):
            return
        if not subprocess.run(["umount", str(place)], capture_output=True, timeout=30).returncode:
            break
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", str(place)], capture_output=True, timeout=30)


def _image(path: Path, program: str) -> Path:
    with path.open("wb") as file:
        file.truncate(16 << 20)
    _run(program, str(path))
    return path


def _run(*command: str) -> str:
    search_path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    try:
        run = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "PATH": search_path},
        )
    except FileNotFoundError:
        pytest.skip(f"there is no {command[0]} here")
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().partition("\n")[0]
        pytest.skip(f"{command[0]} fails here: {said}")
    return run.stdout
