"""How much an update wears a real LittleFS, and what it asks for: counted, not timed."""

import pytest

from tests.bench.device_wear import measure
from tests.support.device import interpreter_command

pytestmark = pytest.mark.real

BLOCK_BYTES = 4096


@pytest.fixture(autouse=True)
def micropython() -> None:
    interpreter_command("micropython")


def test_files_are_written_once() -> None:
    once, _, erases, _, asked_bytes, brought_bytes = measure("esp32", "changed")
    assert erases <= 1.3 * once
    # Each of the 15 files takes two blocks, and there is the library's own.
    assert brought_bytes == 15 * 6000
    assert asked_bytes <= (15 * 2 + 12) * BLOCK_BYTES


def test_a_moved_file_is_written_once_more() -> None:
    once, _, erases, _, asked_bytes, brought_bytes = measure("esp32", "moved")
    assert erases <= once + 10
    assert asked_bytes <= brought_bytes + 12 * BLOCK_BYTES


def test_the_library_is_written_once_and_its_recovery_copied() -> None:
    once, _, erases, _, asked_bytes, brought_bytes = measure("esp32", "library")
    assert erases < 2 * once
    assert asked_bytes < 3 * brought_bytes
