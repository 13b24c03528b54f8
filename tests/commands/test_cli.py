"""The ``otaserver`` command as a process."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import PROJECT

pytestmark = pytest.mark.real

RUN = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from otaserver.cli import main; main()"


def run(
    *arguments: str, options: tuple[str, ...] = (), **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *options, "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
    )


def run_on_a_terminal(*arguments: str, **variables: str) -> str:
    """Run the command with a terminal as its output, and return what that shows."""
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], stdout=theirs, env={**environment, **variables}
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:
        pass  # what Linux says at the end
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()


def test_it_reports_on_a_tree(small_tree: Path) -> None:
    done = run("check", str(small_tree))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Nothing is wrong.\n")


def test_without_click_it_says_what_to_install() -> None:
    # -S: without anything that was installed.
    done = run("check", options=("-I", "-S"))
    assert done.stderr == (
        "otaserver: this command needs click, which is not installed; "
        "run: pip install 'otaserver[publish]'\n"
    )
    assert (done.returncode, done.stdout) == (2, "")


def test_colors_are_for_terminals_whose_users_want_them(small_tree: Path) -> None:
    assert "\x1b[32m" in run_on_a_terminal("check", str(small_tree))
    assert "\x1b" not in run_on_a_terminal("check", str(small_tree), NO_COLOR="1")
    assert "\x1b" not in run("check", str(small_tree)).stdout


def test_a_name_that_the_terminal_can_not_show_is_no_error(root: Path) -> None:
    (root / "→").mkdir()
    done = run("check", str(root), PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "/\\u2192\n" in done.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_is_not_taken_for_a_finding(small_tree: Path, options: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "check", str(small_tree), *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.stderr == "otaserver: can't write the output: No space left on device\n"
    assert done.returncode == 2
