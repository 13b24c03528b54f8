"""What the library holds in memory does not grow with the update, and has a limit.

Counted under MicroPython, whose garbage collection is the same in each run. On 64 bit; a
device needs about half. ``make device-memory`` prints all figures.
"""

import pytest

from tests.bench.device_memory import SERVERS, Release, import_bytes, peak_bytes
from tests.support.device import LIBRARY, interpreter_command

pytestmark = pytest.mark.real

FIRMWARE_BYTES = 60_000
MOST_IMPORT_BYTES = 25 * 1024
MOST_PEAK_BYTES = 32 * 1024
MOST_GROWTH_BYTES = 512


@pytest.fixture(autouse=True, scope="module")
def micropython() -> None:
    interpreter_command("micropython")  # skips where there is none


def test_import() -> None:
    assert import_bytes(LIBRARY)[0] < MOST_IMPORT_BYTES


@pytest.mark.parametrize("transport", SERVERS)
def test_peak_of_an_update_its_install_and_its_end(transport: str) -> None:
    peaks = []
    for count in (10, 200):
        release = Release(count, FIRMWARE_BYTES)
        with SERVERS[transport](release.served) as server:
            peaks.append(peak_bytes(LIBRARY, release, transport, server.port))
    assert abs(peaks[1] - peaks[0]) < MOST_GROWTH_BYTES, peaks
    assert max(peaks) < MOST_PEAK_BYTES, peaks
