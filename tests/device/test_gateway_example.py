"""The example that anyone can run: two devices on Linux against the sample server."""

import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.device.conftest import INTERPRETERS, real_server
from tests.support.device import LIBRARY, interpreter_command
from tests.support.micropython import PROJECT

pytestmark = pytest.mark.real

EXAMPLE = LIBRARY / "examples" / "linux_gateway.py"
COMMAND = "$ python3 device/examples/linux_gateway.py\n"
PROGRESS = re.compile(r" +(\d+) of (\d+) bytes  \S")
NEW_RELEASE = PROJECT / "releases" / "1.0.1"
OLD_RELEASE = PROJECT / "releases" / "1.0.0"


def transcript() -> str:
    """Return what the README says that the example prints."""
    text = (PROJECT / "README.md").read_text()
    block = re.search(r"(?:^    .*\n)+", text[text.index("    " + COMMAND) :], re.M)
    assert block, "no transcript in the README"
    return textwrap.dedent(block[0]).removeprefix(COMMAND)


@pytest.fixture(scope="module", params=INTERPRETERS)
def interpreter(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, interpreter: str) -> Path:
    return tmp_path_factory.mktemp(interpreter)


@pytest.fixture(scope="module")
def output(folder: Path, interpreter: str) -> str:
    command = [*interpreter_command(interpreter), str(EXAMPLE), "127.0.0.1"]
    with real_server(PROJECT / "releases", folder / "state") as ports:
        done = subprocess.run(
            [*command, *map(str, ports.values())],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_prints_what_the_readme_says(output: str) -> None:
    assert output.splitlines() == transcript().splitlines()


def test_it_leaves_a_new_and_an_old_device(output: str, folder: Path) -> None:
    for name, release in (("http", NEW_RELEASE), ("ftp", OLD_RELEASE)):
        device = folder / "gateway" / name
        found = {path.relative_to(device) for path in device.glob("[fs]*/**/*") if path.is_file()}
        found = {path for path in found if ".ota" not in path.parts}
        wanted = {path.relative_to(release) for path in release.rglob("*") if path.is_file()}
        assert {path for path in found if path.name != "OTA_VERSION.py"} == wanted
        assert all(
            (device / path).read_bytes() == (release / path).read_bytes() for path in wanted
        )


def test_it_shows_progress_up_to_all_bytes(output: str) -> None:
    for part in output.split("1.0.0 to 1.0.1 over ")[1:]:
        steps = [tuple(map(int, step.groups())) for step in PROGRESS.finditer(part)]
        assert len(steps) > 5
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]
