from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.http.conditions import (
    Precondition,
    UnsatisfiableRange,
    http_date,
    precondition,
    wanted_range,
)

ETAG = '"abc"'
MTIME_S = 784_111_777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"

HOLDS, NOT_MODIFIED, FAILED = Precondition.HOLDS, Precondition.NOT_MODIFIED, Precondition.FAILED


def looking_up(fields: dict[str, str]) -> Callable[[str], "str | None"]:
    return fields.get


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, HOLDS),
        ({"If-None-Match": '"abc"'}, NOT_MODIFIED),
        ({"If-None-Match": 'W/"abc"'}, NOT_MODIFIED),
        ({"If-None-Match": "*"}, NOT_MODIFIED),
        ({"If-None-Match": '"x", "abc"'}, NOT_MODIFIED),
        ({"If-None-Match": '"x","y" , W/"abc"'}, NOT_MODIFIED),
        ({"If-None-Match": '"x,\\"abc\\""'}, HOLDS),
        ({"If-None-Match": '"a,bc"'}, HOLDS),
        ({"If-None-Match": "abc"}, HOLDS),
        ({"If-None-Match": '"abc'}, HOLDS),
        ({"If-None-Match": ""}, HOLDS),
        ({"If-None-Match": ',,,"abc"'}, NOT_MODIFIED),
        ({"If-None-Match": '"x"', "If-Modified-Since": AFTER}, HOLDS),
        ({"If-Modified-Since": DATE}, NOT_MODIFIED),
        ({"If-Modified-Since": AFTER}, NOT_MODIFIED),
        ({"If-Modified-Since": BEFORE}, HOLDS),
        ({"If-Modified-Since": "yesterday"}, HOLDS),
        ({"If-Modified-Since": ""}, HOLDS),
        ({"If-Modified-Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, NOT_MODIFIED),
        ({"If-Modified-Since": "Sun, 06 Nov 99999 08:49:37 GMT"}, HOLDS),
        ({"If-Match": '"abc"'}, HOLDS),
        ({"If-Match": "*"}, HOLDS),
        ({"If-Match": 'W/"abc"'}, FAILED),
        ({"If-Match": '"x"'}, FAILED),
        ({"If-Match": '"x"', "If-None-Match": '"abc"'}, FAILED),
        ({"If-Match": '"abc"', "If-None-Match": '"abc"'}, NOT_MODIFIED),
        ({"If-Unmodified-Since": BEFORE}, FAILED),
        ({"If-Unmodified-Since": DATE}, HOLDS),
        ({"If-Match": '"abc"', "If-Unmodified-Since": BEFORE}, HOLDS),
    ],
)
def test_conditions_come_out_as_rfc_9110_has_them(
    fields: dict[str, str], outcome: Precondition
) -> None:
    assert precondition(looking_up(fields), ETAG, MTIME_S) is outcome


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 10)),
        ("bytes=90-1000", (90, 10)),
        ("bytes=99-", (99, 1)),
        ("bytes=0-999999999999999999", (0, 100)),
        ("bytes=-1", (99, 1)),
        ("bytes=-100", (0, 100)),
        ("bytes=-5000", (0, 100)),
        ("bytes=-", None),
        ("bytes=5-3", None),
        ("bytes=0-1,5-6", None),
        ("bytes=" + "0-," * 5000 + "0-", None),
        ("bytes=a-b", None),
        ("bytes=0x1-", None),
        ("bytes=+1-", None),
        ("bytes=1", None),
        ("bytes", None),
        ("", None),
        ("lines=1-2", None),
        ("bytes=\xb2-", None),
        ("bytes=-1-2", None),
    ],
)
def test_one_part_is_given_and_anything_else_gets_the_whole(
    asked: str, part: "tuple[int, int] | None"
) -> None:
    assert wanted_range(looking_up({"Range": asked}), 100, ETAG, MTIME_S) == part


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=9999999-"])
def test_a_range_beyond_the_file_is_unsatisfiable(asked: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        wanted_range(looking_up({"Range": asked}), 100, ETAG, MTIME_S)


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_an_empty_file_has_no_range(asked: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        wanted_range(looking_up({"Range": asked}), 0, ETAG, MTIME_S)


@pytest.mark.parametrize(
    ("if_range", "holds"),
    [
        (ETAG, True),
        (f" {ETAG} ", True),
        (f"W/{ETAG}", False),
        ('"other"', False),
        (DATE, True),
        (BEFORE, False),
        (AFTER, False),
        ("garbage", False),
        ("", False),
    ],
)
def test_a_resume_of_another_content_gets_the_whole(if_range: str, holds: bool) -> None:
    fields = {"Range": "bytes=50-", "If-Range": if_range}
    part = wanted_range(looking_up(fields), 100, ETAG, MTIME_S)
    assert part == ((50, 50) if holds else None)


@given(st.text(max_size=30), st.integers(0, 50))
def test_any_range_is_a_part_of_the_file_or_no_part(asked: str, size_bytes: int) -> None:
    try:
        part = wanted_range(looking_up({"Range": "bytes=" + asked}), size_bytes, ETAG, 0)
    except UnsatisfiableRange:
        return
    if part is not None:
        offset, length = part
        assert offset >= 0
        assert length > 0
        assert offset + length <= size_bytes


@given(st.text(max_size=60))
def test_any_list_of_tags_and_any_date_is_read_without_an_error(text: str) -> None:
    for name in ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"):
        precondition(looking_up({name: text}), ETAG, MTIME_S)
    wanted_range(looking_up({"Range": "bytes=0-", "If-Range": text}), 9, ETAG, MTIME_S)


@pytest.mark.parametrize(
    "seconds", [-(10**12), -1, 0, MTIME_S, 253402300799, 253402300800, 10**15]
)
def test_any_time_that_a_file_may_have_is_written(seconds: int) -> None:
    assert http_date(seconds).endswith(" GMT")
    assert len(http_date(seconds)) == len(DATE)
