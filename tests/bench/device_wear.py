"""How much an update wears a flash, and how much room it asks for, under MicroPython: a table.

    python -m tests.bench.device_wear

Each update runs on a real LittleFS and a real FAT on a block device that counts. The peer is
writing the changed files once over the old ones.
"""

import subprocess
import sys

from tests.support.device import LIBRARY
from tests.support.micropython import PROJECT, MicroPythonUnavailable, micropython_command

SCRIPT = PROJECT / "tests" / "powercuts" / "wear.py"
CASES = {
    "changed": "15 files of 6 KB",
    "moved": "a file of 100 KB moved",
    "library": "the library itself",
}
RUN_TIMEOUT_S = 300


def measure(file_system: str, case: str) -> list[int]:
    """Return what `tests.powercuts.wear` prints.

    Args:
        file_system: LittleFS as on an ``esp32`` or ``rp2``, or ``fat``.
        case: see CASES.
    """
    command = [*micropython_command(), "-X", "heapsize=32m", str(SCRIPT), str(LIBRARY)]
    done = subprocess.run(
        [*command, file_system, case],
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return [
        int(word)
        for line in done.stdout.splitlines()
        if line[0].isdigit()  # not what the library logs
        for word in line.split()
    ]


def main() -> None:
    print(f"{'':30}{'brought':>9}{'asked for':>11}{'erases':>16}{'programmed':>20}")
    for file_system in ("esp32", "rp2", "fat"):
        for case, title in CASES.items():
            once, once_bytes, erases, programmed, asked, brought = measure(file_system, case)
            print(
                f"{file_system + ', ' + title:30}{brought:9,}{asked:11,}"
                f"{erases:6} ({erases / max(1, once):.2f} x)"
                f"{programmed:12,} ({programmed / max(1, once_bytes):.2f} x)",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except MicroPythonUnavailable as error:
        sys.exit(f"no MicroPython: {error}")
