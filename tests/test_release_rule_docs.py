"""docs/release-rules.md and the README say what the code does."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from otaserver.catalogue.names import (
    LEFT_BEHIND,
    LEFT_BEHIND_ENDINGS,
    UNFINISHED_BEGINNINGS,
    UNFINISHED_ENDINGS,
    UNFINISHED_FOLDERS,
    is_part,
    is_unfinished,
)
from tests.support.library import ota_recovery  # puts the device library within reach
from tests.support.release_rules import CASES, Case
from tests.support.trees import scanned, write_tree

PROJECT = Path(__file__).parent.parent
DOCS = (PROJECT / "docs/release-rules.md").read_text()
README = (PROJECT / "README.md").read_text()
CATALOGUE = PROJECT / "otaserver" / "catalogue"


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without the one that names its columns."""
    section = re.split(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


RULES = {row[0]: row for row in table(DOCS, "The rules")}


# The rules


def test_there_is_a_row_for_each_rule_and_a_case_for_each_row() -> None:
    assert list(RULES) == [case.rule for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_row_says_what_the_server_says_and_what_the_device_does(case: Case) -> None:
    _, example, what, device, remedy = RULES[case.rule]
    assert (what, remedy) == (case.what, case.remedy)
    assert device.startswith(case.device.value)
    if case.version == "1.0.1" and "nnn" not in case.path and not case.product:
        name = case.path.rpartition("/")[2].replace("\t", "\\t")
        assert name in example.replace("`", "")


def test_the_functions_that_are_named_are_there() -> None:
    assert ota_recovery
    named = re.findall(r"`(ota_\w+)\.(\w+)`", DOCS)
    assert len(named) > 15
    for module, name in named:
        assert hasattr(importlib.import_module(module), name), (module, name)


def breaches_in_the_code() -> Iterator[str]:
    """What each rule in the code says, as a pattern."""
    for module in ("release_rules", "firmware_image"):
        for node in ast.walk(ast.parse((CATALOGUE / f"{module}.py").read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Breach":
                yield pattern(node.args[1])


def pattern(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(map(pattern, node.values))
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    return ".+"


def test_every_rule_in_the_code_has_a_row() -> None:
    patterns = list(breaches_in_the_code())
    assert len(patterns) > 15
    said = [row[2] for row in RULES.values()]
    for one in patterns:
        assert any(re.fullmatch(one, what) for what in said), one


def test_the_sentence_at_the_top_is_what_the_server_says(root: Path) -> None:
    write_tree(root, {"1.0.1/README.md": b"", "1.0.1/flash/main.py": b""})
    (problem,) = scanned(root).problems
    assert f"\n    {problem}.\n" in DOCS


# What else is said


def test_what_else_keeps_a_release_from_being_offered(root: Path) -> None:
    write_tree(
        root, {"1.0.1/flash/main.py.part": b"", "v1.0.1/flash/a": b"", "p/1.0.1/flash/a": b""}
    )
    write_tree(root, {"p/v1.0.1/flash/a": b""})
    (root / "1.0.2").mkdir()
    (root / "v1.0.1/flash/b").symlink_to("nothing")
    said = {(problem.what, problem.remedy) for problem in scanned(root).problems}
    rows = {
        (row[1], row[2]) for row in table(DOCS, "What else keeps a release from being offered")
    }
    assert said == rows


@pytest.mark.parametrize("row", table(DOCS, "Names that are pointed out"), ids=lambda row: row[0])
def test_names_that_are_pointed_out(root: Path, row: list[str]) -> None:
    path, what, remedy = row
    path = path.removesuffix(", a file").strip("`")
    write_tree(root, {path: b"\xe9", "1.0.0/flash/main.py": b""})
    (problem,) = scanned(root).problems
    assert (problem.what, problem.remedy) == (what, remedy)


# Names


def names_in(rows: list[list[str]]) -> set[str]:
    """The patterns of a table, without the examples that follow ``such as``."""
    cells = [row[1].partition(", such as ")[0] for row in rows]
    found = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    return {name.replace("\\r", "\r").lower() for name in found}


@pytest.mark.parametrize("text", [DOCS, README], ids=["docs", "README"])
def test_what_is_never_part_of_a_release(text: str) -> None:
    named = names_in(table(text, "What is never part of a release"))
    endings = {"*" + ending for ending in LEFT_BEHIND_ENDINGS}
    assert named == {*LEFT_BEHIND, *endings, ".*", "~$*", "#*#"}
    assert not any(is_part(name.replace("*", "main.py")) for name in named)


def test_names_of_unfinished_uploads() -> None:
    named = names_in(table(DOCS, "Names of unfinished uploads"))
    endings = {"*" + ending for ending in UNFINISHED_ENDINGS}
    beginnings = {beginning + "*" for beginning in UNFINISHED_BEGINNINGS}
    others = {".main.py.ab12cd", ".main.py.~1a2b"}
    assert named == {*endings, *beginnings, *UNFINISHED_FOLDERS, *others}
    assert all(is_unfinished(name.replace("*", "main.py")) for name in named)
