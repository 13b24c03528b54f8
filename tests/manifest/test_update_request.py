from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.manifest.update_request import (
    MAX_QUERY_BYTES,
    MAX_VALUE_LENGTH,
    BadUpdateRequest,
    UpdateRequest,
    parse_update_request,
)

printable = st.text(min_size=1, max_size=60).filter(str.isprintable)


def test_an_empty_query_says_nothing() -> None:
    assert parse_update_request(b"") == UpdateRequest()


def test_all_known_fields_are_read() -> None:
    query = (
        b"current_ver=1.0.0&firmware_ver=0.9&device=pump-7&accept=zlib,delta.v1&release=%064x" % 7
    )
    assert parse_update_request(query) == UpdateRequest(
        "1.0.0", "0.9", f"{7:064x}", "pump-7", frozenset({"zlib", "delta.v1"})
    )


@pytest.mark.parametrize(
    "query",
    [
        b"&&&",
        b"=",
        b"=1",
        b"x=%zz&y=%ff&z",
        b"Current_ver=1",
        b"current_ver[]=1",
        b"x=1&x=2",
        b"current_ver%00=1",
    ],
)
def test_unknown_fields_are_ignored_whatever_is_in_them(query: bytes) -> None:
    assert parse_update_request(query) == UpdateRequest()


@pytest.mark.parametrize(
    "query",
    [
        b"current_ver",
        b"current_ver=",
        b"firmware_ver=&release=&device=&accept=",
        b"current_ver=&current_ver",
    ],
)
def test_a_field_without_a_value_counts_as_absent(query: bytes) -> None:
    assert parse_update_request(query) == UpdateRequest()
    read = parse_update_request(query + b"&current_ver=1.0")
    assert read == UpdateRequest(current_ver="1.0")


@pytest.mark.parametrize(
    ("query", "version"),
    [
        (b"current_ver=1.0+local", "1.0+local"),
        (b"current_ver=1.0%2Blocal", "1.0+local"),
        (b"current_ver=a=b", "a=b"),
        (b"current%5Fver=1", "1"),
        (b"current_ver=%31", "1"),
        ("current_ver=ü".encode(), "ü"),
        (b"current_ver=../../etc", "../../etc"),
        (b"current_ver=a%20b", "a b"),
        (b"current_ver=" + b"9" * MAX_VALUE_LENGTH, "9" * MAX_VALUE_LENGTH),
    ],
)
def test_a_value_is_taken_as_it_is_but_for_its_escapes(query: bytes, version: str) -> None:
    assert parse_update_request(query).current_ver == version


@pytest.mark.parametrize(
    "query",
    [
        b"current_ver=1&current_ver=1",
        b"current_ver=1&current%5fver=2",
        b"current_ver=%",
        b"current_ver=%4",
        b"current_ver=%4g",
        b"current_ver=%FF",
        b"current_ver=\xff",
        b"current_ver=%00",
        b"current_ver=1%0d%0aX:%20y",
        b"current_ver=%E2%80%AE1.0",
        b"current_ver=%ED%A0%80",
        b"current_ver=" + b"9" * (MAX_VALUE_LENGTH + 1),
        b"device=a&device=b",
        b"accept=,",
        b"accept=a,",
        b"accept=a,,b",
        b"accept=A",
        b"accept=a b",
        b"accept=%C3%A9",
        b"x=" + b"y" * MAX_QUERY_BYTES,
    ],
)
def test_a_malformed_question_is_refused_in_one_sentence(query: bytes) -> None:
    with pytest.raises(BadUpdateRequest) as refusal:
        parse_update_request(query)
    sentence = str(refusal.value)
    assert sentence.endswith(".")
    assert sentence.isprintable()


@given(st.fixed_dictionaries({}, optional={"current_ver": printable, "device": printable}))
def test_what_a_client_quotes_is_what_is_read(fields: dict[str, Any]) -> None:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
    assert parse_update_request(query.encode()) == UpdateRequest(**fields)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(query: bytes) -> None:
    try:
        request = parse_update_request(query)
    except BadUpdateRequest:
        return
    assert request.current_ver is None or request.current_ver.isprintable()


@given(st.binary(max_size=80))
def test_any_bytes_as_a_value_are_read_or_refused(value: bytes) -> None:
    try:
        request = parse_update_request(b"current_ver=" + value)
    except BadUpdateRequest:
        return
    assert request.current_ver or not value.partition(b"&")[0]
