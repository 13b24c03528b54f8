"""Devices in the field with the first edition of the library take a release with this one.

Their own code installs it, with the power cut at any write: boots find the old recovery
code, the new one, or part of each.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.powercuts.__main__ import SCENARIOS, chosen, simulate, single_cuts
from tests.support.device import LIBRARY, interpreter_command
from tests.support.micropython import PROJECT

FIRST_EDITION = "2e3c72c"
SAMPLE = 40
# It is what boot.py imports, and on FAT a file can't be replaced without a torn moment.
OTA_BOOT_SHA256 = "ba43edb30cdc5ed6d77d5a815e7e8aac5185e102cc5502a18ed36e4d9628a46b"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folders of both editions, as the simulation takes them."""
    interpreter_command("micropython")
    folder = tmp_path_factory.mktemp("first")
    git = shutil.which("git")
    if git is None:
        pytest.skip("the first edition comes from git's history, and there is no git here")
    command = [git, "-C", str(PROJECT), "archive", FIRST_EDITION, "device"]
    archive = subprocess.run(command, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the history of this checkout lacks {FIRST_EDITION}, the first edition")
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive.stdout, check=True)
    return f"{folder / 'device'}:{LIBRARY}"


def test_ota_boot_is_still_that_of_the_first_edition() -> None:
    content = Path(LIBRARY / "ota_boot.py").read_bytes()
    assert hashlib.sha256(content).hexdigest() == OTA_BOOT_SHA256


@pytest.mark.real
@pytest.mark.long
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", ["lfs", "pycom-lfs", "card-fat"])
def test_power_cuts_while_the_editions_change(kind: str, scenario: str, libraries: str) -> None:
    writes = int(simulate(kind, scenario, "full", ["count"], libraries)[0].split()[2])
    cuts = chosen(single_cuts(writes), SAMPLE)
    lines = simulate(kind, scenario, "full", cuts, libraries)
    assert len(lines) == SAMPLE
    assert [line for line in lines if line.split()[1] != "ok"] == []
