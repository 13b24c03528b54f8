"""The Containerfile, as far as it can be checked without building an image."""

import json
import re
import shlex

from otaserver.options import Options
from tests.packaging.files import container_instructions, start_command, value_of
from tests.support.process import PROJECT

INSTRUCTIONS = container_instructions()


def arguments(name: str, stage: int = 2) -> list[str]:
    return [one.argument for one in INSTRUCTIONS if (one.name, one.stage) == (name, stage)]


def test_everything_that_is_copied_is_there() -> None:
    for argument in arguments("COPY", stage=1):
        for source in shlex.split(argument)[:-1]:
            assert (PROJECT / source).exists(), source


def test_setuptools_gets_every_file_that_it_reads() -> None:
    copied = {source for one in arguments("COPY", stage=1) for source in shlex.split(one)[:-1]}
    named = re.findall(r'HERE / "([^"]+)"', (PROJECT / "setup.py").read_text())
    assert {
        "setup.py",
        "pyproject.toml",
        "LICENSE",
        "otaserver",
        "device",
        "plugins",
        *named,
    } == copied


def test_it_starts_the_server_as_the_service_does() -> None:
    (entry_point,) = arguments("ENTRYPOINT")
    assert json.loads(entry_point) == start_command("otaserver.service")


def test_it_keeps_what_must_outlive_it_in_volumes() -> None:
    (volumes,) = arguments("VOLUME")
    words = start_command("otaserver.service")
    assert json.loads(volumes) == [value_of("--root", words), value_of("--state", words)]


def test_it_runs_as_a_user_of_its_own_who_owns_the_state() -> None:
    (user,) = arguments("USER")
    (preparing,) = arguments("RUN")
    made = [shlex.split(command) for command in preparing.split("&&")]
    assert user != "root"
    assert any(words[0] == "useradd" and words[-1] == user for words in made)
    state = value_of("--state", start_command("otaserver.service"))
    assert ["install", "--directory", f"--owner={user}", f"--group={user}", state] in made


def test_it_names_the_ports_that_are_served_by_default() -> None:
    (ports,) = arguments("EXPOSE")
    defaults = Options()
    assert [f"tcp:{port}" for port in ports.split()] == [defaults["http"], defaults["ftp"]]
