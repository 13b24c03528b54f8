"""Rules that hold for any text: the JSON reader, and the paths that a manifest may name."""

import json
import posixpath
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.library  # noqa: F401 - puts the library within reach

import ota_errors  # isort: skip
import ota_json  # isort: skip
import ota_rules  # isort: skip

ROOTS = {"flash": "/flash", "sd": "/sd"}
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 10**20), st.text(max_size=60))
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


class Stream:
    """Gives as much as it likes at a time, as a connection does."""

    def __init__(self, data: bytes, step: int) -> None:
        self.data = data
        self.step = step

    def readinto(self, buf: bytearray | memoryview) -> int:
        count = min(self.step, len(buf), len(self.data))
        buf[:count], self.data = self.data[:count], self.data[count:]
        return count


def reader(text: bytes, step: int = 7, buffer_bytes: int = 16) -> Any:
    return ota_json.JSONReader(Stream(text, step), bytearray(buffer_bytes), 10**6)


@given(SCALARS, st.booleans(), st.integers(1, 20), st.integers(1, 20))
def test_scalars_are_what_json_says(
    value: object, ascii_only: bool, step: int, buffer_bytes: int
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    read = reader(text, step, buffer_bytes)
    assert read.scalar() == value
    read.finish()


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(FLOATS | st.integers(-(10**20), 10**20))
def test_skip_takes_any_number(value: object) -> None:
    read = reader(json.dumps(value).encode())
    read.skip()
    read.finish()


@given(st.text('[]{},:"\\ -truefalsn01.@', max_size=12))
def test_skip_takes_no_word_that_json_has_not(text: str) -> None:
    read = reader(text.encode())
    try:
        read.skip()
        read.finish()
    except ota_errors.ManifestError:
        return
    # Numbers may be written as Python takes them, too: 01, .5, +1.
    plain = re.sub(r"[-+]?[0-9.]+", "1", text)
    json.loads(plain)


@given(VALUES, st.integers(1, 20))
def test_skip_passes_over_one_value_and_no_more(value: object, step: int) -> None:
    read = reader(json.dumps([value, "after"]).encode(), step)
    items = read.items()
    next(items)
    read.skip()
    next(items)
    assert read.scalar() == "after"


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    read = reader(data)
    try:
        read.skip()
        read.finish()
    except ota_errors.ManifestError:
        pass


NAMES = st.sampled_from(["flash", "sd", "..", ".", "", ".ota", "a", "A", "b.py", "x~1", "\u00e9"])
PATHS = st.one_of(st.text(max_size=250), st.lists(NAMES, max_size=8).map("/".join))


@given(PATHS)
def test_no_accepted_path_leads_outside(path: str) -> None:
    try:
        accepted = ota_rules.checked_path(path, ROOTS)
    except ota_errors.ManifestError:
        return
    root, _, rest = accepted.partition("/")
    place = posixpath.normpath(ROOTS[root] + "/" + rest)
    assert place == ROOTS[root] + "/" + rest
    assert not place.lower().startswith(ROOTS[root] + "/.ota")


@given(st.text(max_size=80))
def test_an_accepted_version_can_stand_in_a_python_string(version: str) -> None:
    try:
        accepted = ota_rules.checked_version(version)
    except ota_errors.ManifestError:
        return
    if all(char >= " " and char not in "\x7f\x85\u2028\u2029" for char in accepted):
        found: dict[str, object] = {}
        exec(f"VERSION = '{accepted}'\n", found)
        assert found["VERSION"] == version


@pytest.mark.parametrize("path", ["flash/main.py", "flash/lib/a b.py", "sd/gr\u00fc\u00dfe.txt"])
def test_ordinary_paths_are_accepted(path: str) -> None:
    assert ota_rules.checked_path(path, ROOTS) == path


@pytest.mark.parametrize("buffer_bytes", [1, 16, 512, 1000, 2000])
@pytest.mark.parametrize(("size_bytes", "fits"), [(1024, True), (1025, False), (1500, False)])
def test_how_long_a_string_may_be_does_not_depend_on_the_buffer(
    buffer_bytes: int, size_bytes: int, fits: bool
) -> None:
    read = reader(b'"' + b"x" * size_bytes + b'"', 2000, buffer_bytes)
    if fits:
        assert len(read.scalar()) == size_bytes
    else:
        with pytest.raises(ota_errors.ManifestError, match="too long"):
            read.scalar()
