import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.http.answers import Answer, answer, date_line, head, not_modified, sentence

DATE = date_line(784_111_777)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=300))
def test_a_legacy_head_is_a_whole_number_of_reads_long(value: str) -> None:
    made = head(answer(200, {"ETag": value}, b"x"), b"HTTP/1.0", DATE, False, True)
    assert len(made) % 100 == 0
    assert made.endswith(b"\r\n\r\n")
    assert made.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("length", range(100))
def test_every_length_is_filled_up(length: int) -> None:
    made = head(answer(200, {"X": "y" * length}), b"HTTP/1.0", DATE, True, True)
    assert len(made) % 100 == 0


def test_a_head_for_others_is_not_filled_up() -> None:
    assert b"X-Padding" not in head(answer(200, {}), b"HTTP/1.0", DATE, False, False)


@pytest.mark.parametrize(
    ("version", "is_persistent", "field"),
    [
        (b"HTTP/1.0", False, b"Connection: close\r\n"),
        (b"HTTP/1.0", True, b"Connection: keep-alive\r\n"),
        (b"HTTP/1.1", False, b"Connection: close\r\n"),
        (b"HTTP/1.1", True, b""),
    ],
)
def test_a_head_says_whether_the_connection_stays(
    version: bytes, is_persistent: bool, field: bytes
) -> None:
    made = head(answer(200, {}), version, DATE, is_persistent, False)
    assert made.startswith(version + b" 200 OK\r\n")
    assert made.count(b"Connection:") == (1 if field else 0)
    assert field in made


def test_a_not_modified_answer_keeps_the_fields_and_has_no_body() -> None:
    known = answer(200, {"ETag": '"x"'}, b"body")
    told = not_modified(known)
    assert told.status == 304
    assert told.body == b""
    assert b'ETag: "x"' in told.fields
    assert b"Content-Length" not in head(told, b"HTTP/1.1", DATE, True, False)


def test_a_sentence_is_plain_text_that_no_cache_keeps() -> None:
    said: Answer = sentence(503, "Later.", Retry_After="2")
    assert said.body == b"Later.\n"
    assert b"Retry-After: 2\r\n" in said.fields
    assert b"no-store" in said.fields
    assert said.length_line == b"Content-Length: 7\r\n"
