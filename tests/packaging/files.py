"""Reads what is in packaging/: unit files and the Containerfile."""

import shlex
from pathlib import Path
from typing import NamedTuple

from tests.support.process import PROJECT

PACKAGING = PROJECT / "packaging"


def logical_lines(path: Path) -> list[str]:
    """A file's lines without comments, with continued ones joined."""
    lines = [line for line in path.read_text().splitlines() if line.strip()[:1] not in ("#", "")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def directives(name: str) -> dict[str, str]:
    """What a unit file sets; of a directive that stands there twice, the last."""
    pairs = [line.partition("=") for line in logical_lines(PACKAGING / name)]
    return {key: value for key, sign, value in pairs if sign}


def start_command(name: str) -> list[str]:
    """The words of a unit file's ExecStart, without `$OPTIONS` at its end."""
    *words, options = shlex.split(directives(name)["ExecStart"])
    assert options == "$OPTIONS"
    return words


def value_of(option: str, words: list[str]) -> str:
    """What a command line gives an option."""
    return words[words.index(option) + 1]


class Instruction(NamedTuple):
    """A line of the Containerfile; stage counts the FROM lines before it."""

    stage: int
    name: str
    argument: str


def container_instructions() -> list[Instruction]:
    found: list[Instruction] = []
    stage = 0
    for line in logical_lines(PACKAGING / "Containerfile"):
        name, _, argument = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, argument.strip()))
    return found
