"""Release trees to measure with."""

import random
from pathlib import Path

from tests.support.process import PROJECT

_SHARED_FIRMWARE = PROJECT.parent / "shared" / "firmware"


def firmware(version: int) -> bytes:
    """A real ESP32 image of 1.6 MB where there is one, else as many random bytes."""
    images = sorted(_SHARED_FIRMWARE.glob("*.bin"))
    if images:
        return images[version % len(images)].read_bytes()
    print("No real firmware beside the project: random bytes instead.")
    return b"\xe9" + random.Random(version).randbytes(1_552_815)


def small_fleet(root: Path) -> None:
    """Two releases of 64 small files, of which half change, and their firmware."""
    source = random.Random(1)
    same = {f"flash/lib/module_{n}.py": source.randbytes(2_000) for n in range(32)}
    for number, version in enumerate(("1.0.0", "1.0.1")):
        changed = {f"flash/app/part_{n}.py": source.randbytes(2_000) for n in range(32)}
        for path, content in {**same, **changed}.items():
            target = root / version / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (root / f"firmware_{version}.bin").write_bytes(firmware(number))


def more_small_files(release: Path, files: int) -> None:
    """So many files of 2 KB, in a hundred folders."""
    content = random.Random(2).randbytes(2_000)
    for number in range(files):
        target = release / "flash" / f"more_{number % 100}" / f"{number}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def large(root: Path, files: int, size_bytes: int) -> None:
    """So many files of so many bytes, in ten releases of ten folders each."""
    source = random.Random(1)
    for number in range(files):
        release, folder = number % 10, number // 10 % 10
        target = root / f"1.0.{release}" / "flash" / f"lib{folder}" / f"file_{number}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.randbytes(size_bytes))
