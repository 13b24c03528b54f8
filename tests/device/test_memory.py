"""What the library holds in memory does not grow with the update, and has a limit.

Counted under MicroPython, whose garbage collection is the same in each run. On 64 bit; a
device needs about half. ``make device-memory`` prints all figures.
"""

from pathlib import Path

import pytest

from tests.bench.device_memory import (
    SERVERS,
    Release,
    boots,
    import_bytes,
    interrupted_update,
    peak_bytes,
)
from tests.support.device import LIBRARY, interpreter_command

pytestmark = pytest.mark.real

FIRMWARE_BYTES = 60_000
MOST_IMPORT_BYTES = 19 * 1024
MOST_IDLE_BOOT_BYTES = 24 * 1024
MOST_RECOVERY_BYTES = 48 * 1024
# With what lives after the import. Of that, 13 KB are a pool of names: it doubles when the modules
# that have been loaded since the start have used more than 620.
MOST_LIVE_BYTES = 69 * 1024
MOST_GROWTH_BYTES = 512


@pytest.fixture(autouse=True, scope="module")
def micropython() -> None:
    interpreter_command("micropython")  # skips where there is none


def test_import() -> None:
    assert import_bytes(LIBRARY)[0] < MOST_IMPORT_BYTES


def test_boots_that_compile_what_they_need(tmp_path: Path) -> None:
    own = import_bytes(LIBRARY)[1]
    (tmp_path / "idle").mkdir()
    assert boots(LIBRARY, tmp_path / "idle", own + MOST_IDLE_BOOT_BYTES)
    flash = interrupted_update(tmp_path)
    assert boots(LIBRARY, flash, own + MOST_RECOVERY_BYTES)
    # The figure means something: less is too little, which is noticed.
    assert not boots(LIBRARY, flash, own + MOST_IDLE_BOOT_BYTES)


@pytest.mark.parametrize("transport", SERVERS)
def test_peak_of_an_update_its_install_and_its_end(transport: str) -> None:
    peaks = []
    for count in (10, 200):
        release = Release(count, FIRMWARE_BYTES)
        with SERVERS[transport](release.served) as server:
            peaks.append(peak_bytes(LIBRARY, release, transport, server.port))
    assert abs(peaks[1] - peaks[0]) < MOST_GROWTH_BYTES, peaks
    imported = import_bytes(LIBRARY)[0]
    assert imported + max(peaks) < MOST_LIVE_BYTES, (imported, peaks)
