"""What `make` does, with stand-ins for the programs of the virtual environments."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.process import PROJECT

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here"),
]

# Tells its name and arguments, and where Python looks for modules first.
STAND_IN = '#!/bin/sh\necho "$(basename "$0") $* ($PYTHONPATH)"\n'
SET_UP_S, CHANGED_S = 1_700_000_000, 1_800_000_000


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environments are set up."""
    checkout = tmp_path / "a checkout"
    (checkout / "otaserver").mkdir(parents=True)
    shutil.copytree(PROJECT / "plugins", checkout / "plugins")
    for name in ("Makefile", "setup.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, checkout)
    for environment in ("run", "test"):
        programs = checkout / ".venv" / environment / "bin"
        programs.mkdir(parents=True)
        for name in ("pip", "python", "twistd"):
            (programs / name).write_text(STAND_IN)
            (programs / name).chmod(0o755)
        (programs.parent / ".ready").touch()
    for path in checkout.rglob("*"):
        os.utime(path, (SET_UP_S, SET_UP_S))
    return checkout


def make(checkout: Path, *arguments: str) -> list[str]:
    # A make that runs the tests hands its options on.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env={**environment, "PYTHONPATH": "", "MFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.splitlines()


def test_what_is_set_up_runs_without_installing_anything(checkout: Path) -> None:
    assert make(checkout, "run") == [f"twistd --nodaemon --pidfile= otaserver ({checkout})"]


def test_new_and_changed_files_need_no_installation(checkout: Path) -> None:
    (checkout / "otaserver" / "new").mkdir()
    (checkout / "otaserver" / "new" / "module.py").write_text("")
    (checkout / "otaserver" / "__pycache__").mkdir()
    for folder in (checkout, checkout / "otaserver", checkout / "plugins"):
        os.utime(folder, (CHANGED_S, CHANGED_S))
    assert make(checkout, "run") == [f"twistd --nodaemon --pidfile= otaserver ({checkout})"]


@pytest.mark.parametrize("changed", ["setup.py", "pyproject.toml", "plugins/otaserver_plugin.py"])
def test_what_an_installation_depends_on_is_installed_again(checkout: Path, changed: str) -> None:
    os.utime(checkout / changed, (CHANGED_S, CHANGED_S))
    lines = make(checkout, "run", "PYTHON=true")
    assert [line.split()[0] for line in lines] == ["Setting", "pip", "pip", "twistd"]
    # It would fetch setuptools on its own, although it is there.
    assert "--no-build-isolation" in lines[2]


def test_options_are_handed_to_the_server(checkout: Path) -> None:
    (line,) = make(checkout, "run", "OPTIONS=--http tcp:8080 --ftp ''")
    assert "otaserver --http tcp:8080 --ftp " in line


def test_the_tests_say_how_long_they_take_before_they_start(checkout: Path) -> None:
    first, second = make(checkout, "test")
    assert re.search(r"about \d+ minutes", first)
    assert second.startswith("python -m pytest -n auto")
