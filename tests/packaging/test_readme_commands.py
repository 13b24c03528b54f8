"""The README's "Run it as a service": its commands fit the files in packaging/."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.packaging.files import PACKAGING, directives, start_command, value_of
from tests.support.process import PROJECT

SECTION = re.split(r"^## ", (PROJECT / "README.md").read_text(), flags=re.MULTILINE)
(SERVICE_SECTION,) = [text for text in SECTION if text.startswith("Run it as a service")]
COMMANDS = re.findall(r"^    (\S.*)$", SERVICE_SECTION, flags=re.MULTILINE)

# Programs that would change the machine or need a network: they only tell how they were called.
TOLD = ("make", "useradd", "systemctl", "podman")
STAND_IN = '#!/bin/sh\necho "$(basename "$0") $*" >>"$PREFIX/called"\n'
SUDO = '#!/bin/sh\nexec "$@"\n'
# python3 -m venv FOLDER
PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
cp "$PREFIX/bin/make" "$3/bin/pip"
cp "$PREFIX/bin/make" "$3/bin/twistd"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for the machine's root, after all the commands."""
    prefix = tmp_path_factory.mktemp("machine")
    programs = {**dict.fromkeys(TOLD, STAND_IN), "sudo": SUDO, "python3": PYTHON}
    for folder in ("bin", "opt", "srv", "etc/systemd/system", "etc/logrotate.d"):
        (prefix / folder).mkdir(parents=True)
    for name, text in programs.items():
        (prefix / "bin" / name).write_text(text)
        (prefix / "bin" / name).chmod(0o755)
    script = "\n".join(["set -e", *COMMANDS])
    script = re.sub(r"(?<=\s)/(?=(opt|srv|etc)/)", f"{prefix}/", script)
    subprocess.run(
        ["sh", "-c", script],
        cwd=PROJECT,
        env={"PATH": f"{prefix / 'bin'}:{os.environ['PATH']}", "PREFIX": str(prefix)},
        check=True,
        timeout=30,
    )
    return prefix


def calls(machine: Path, program: str) -> list[list[str]]:
    called = (machine / "called").read_text().splitlines()
    return [words[1:] for words in map(shlex.split, called) if words[0] == program]


@pytest.mark.real
def test_the_files_are_installed_where_they_are_read(machine: Path) -> None:
    installed = {
        "etc/systemd/system/otaserver.service": "otaserver.service",
        "etc/systemd/system/otaserver-http.socket": "otaserver-http.socket",
        "etc/systemd/system/otaserver-ftp.socket": "otaserver-ftp.socket",
        "etc/systemd/system/otaserver.service.d/sockets.conf": "sockets.conf",
        "etc/logrotate.d/otaserver": "otaserver.logrotate",
    }
    for path, name in installed.items():
        assert (machine / path).read_text() == (PACKAGING / name).read_text()
        assert (machine / path).stat().st_mode & 0o777 == 0o644
    assert {*installed.values(), "Containerfile"} == {path.name for path in PACKAGING.iterdir()}


@pytest.mark.real
def test_what_the_service_uses_is_made(machine: Path) -> None:
    words = start_command("otaserver.service")
    for path in (words[0], value_of("--root", words)):
        assert (machine / path.lstrip("/")).exists(), path
    ((*_, user),) = calls(machine, "useradd")
    assert user == directives("otaserver.service")["User"]
    # `make dist` leaves a single wheel there.
    ((*_, wheel),) = calls(machine, "pip")
    assert wheel.startswith("dist/") and wheel.endswith(".whl")


@pytest.mark.real
def test_every_unit_is_enabled_after_systemd_has_read_it(machine: Path) -> None:
    said = calls(machine, "systemctl")
    enabled = [word for words in said if words[:2] == ["enable", "--now"] for word in words[2:]]
    assert enabled == ["otaserver", "otaserver-http.socket", "otaserver-ftp.socket"]
    assert said[0] == ["daemon-reload"]
    # systemd opens no socket of a service that runs.
    sockets = said.index(["enable", "--now", *enabled[1:]])
    assert said[sockets - 2 :] == [
        ["daemon-reload"],
        ["stop", "otaserver"],
        ["enable", "--now", *enabled[1:]],
        ["start", "otaserver"],
    ]


def test_the_options_file_is_the_one_that_the_service_reads() -> None:
    path = directives("otaserver.service")["EnvironmentFile"].lstrip("-")
    assert f"`{path}`" in SERVICE_SECTION
    assert '`OPTIONS="' in SERVICE_SECTION


def test_the_container_gets_its_folders() -> None:
    (run,) = [shlex.split(command) for command in COMMANDS if command.startswith("podman run")]
    mounted = [word.split(":")[1] for word in run if ":" in word]
    words = start_command("otaserver.service")
    assert mounted == [value_of("--root", words), value_of("--state", words)]
    (build,) = [shlex.split(command) for command in COMMANDS if command.startswith("podman build")]
    assert (PROJECT / value_of("--file", build)).exists()
    assert value_of("--tag", build) == run[-1]
