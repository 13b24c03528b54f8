import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from otaserver.catalogue.versions import is_version_name
from otaserver.catalogue.versions import rank as rank_or_none
from otaserver.catalogue.versions import rank_of_name as rank

pep440 = st.from_regex(
    r"v?([0-9]!)?[0-9]{1,3}(\.[0-9]{1,3}){0,3}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?"
    r"(\+[a-z0-9]{1,3})?",
    fullmatch=True,
)
loose = st.one_of(
    st.from_regex(r"v?[0-9]+([.x-][0-9a-z]{1,3}){1,4}", fullmatch=True),
    st.text(min_size=1, max_size=12),
    st.text(alphabet="0123456789.v-x²٣Ⅷ½", min_size=1, max_size=8),
)
describe = st.from_regex(
    r"v?[0-9]{1,2}(\.[0-9]{1,2}){1,3}([.-]?(rc|r|a|b|preview|hotfix|bugfix|final)[.-]?[0-9]{0,2}){0,2}"
    r"(-[0-9]{1,2}-g[0-9a-f]{7})?(-dirty)?",
    fullmatch=True,
)
readable = st.one_of(pep440, describe)
versions = st.one_of(readable, loose.filter(lambda text: rank_or_none(text) is not None))


def is_inside_word(text: str, at: int) -> bool:
    return at < len(text) and (
        (text[at - 1].isdecimal() and text[at].isdecimal())
        or (text[at - 1].isalpha() and text[at].isalpha())
    )


def longest_beginning(text: str) -> Version | None:
    """Try every beginning that ends between words."""
    for end in range(len(text), 0, -1):
        if not is_inside_word(text, end) and not text[:end].endswith(tuple(" \t\n\r")):
            try:
                return Version(text[:end])
            except InvalidVersion:
                pass
    return None


@given(pep440, pep440)
def test_pep_440_names_stand_in_the_order_that_packaging_gives_them(a: str, b: str) -> None:
    assert (rank(a) < rank(b)) == (Version(a) < Version(b))
    assert (rank(a) == rank(b)) == (Version(a) == Version(b))


@given(versions, versions)
def test_of_two_versions_exactly_one_relation_holds(a: str, b: str) -> None:
    assert [rank(a) < rank(b), rank(a) == rank(b), rank(a) > rank(b)].count(True) == 1
    assert (rank(a) < rank(b)) == (rank(b) > rank(a))


@given(st.lists(versions, min_size=3, max_size=3))
def test_the_order_is_transitive(names: list[str]) -> None:
    low, middle, high = sorted(names, key=rank)
    assert rank(low) <= rank(middle) <= rank(high)
    assert rank(low) <= rank(high)


@given(versions)
def test_a_rank_can_be_a_key(name: str) -> None:
    assert {rank(name): name}[rank(name)] == name


@given(readable)
@example("1.0.0-bugfix")
@example("1.0c-x")
@example("1.0-1-gabc")
def test_the_longest_beginning_that_packaging_reads_decides_first(name: str) -> None:
    assert rank(name).beginning == longest_beginning(name)


@given(versions, st.from_regex(r"-[a-z]{2,5}[0-9]{0,2}", fullmatch=True))
def test_something_more_stands_above_nothing_more(name: str, rest: str) -> None:
    longer = rank(name + rest)
    if longer.beginning == rank(name).beginning:
        assert longer > rank(name)


@pytest.mark.parametrize(
    "order",
    [
        # As a vendor's firmware is tagged.
        "1.18.2.r7 1.20.0.rc11 1.20.0.rc11.1 1.20.0 1.20.0.r1 1.20.2.r6 1.20.2.r6-12-gabcdef "
        "1.20.3.b3",
        # As `git describe --tags --dirty` names what lies between tags.
        "v1.9.0 v1.10.0rc1 v1.10.0rc1-1-gaaaaaaa v1.10.0 v1.10.0-1-gaaaaaaa v1.10.0-12-gbbbbbbb "
        "v1.10.0-12-gbbbbbbb-dirty v1.10.1",
        "1.0.0-alpha 1.0.0-beta.2 1.0.0-rc.1 1.0.0 1.0.0-bugfix 1.0.0-customer 1.0.0-hotfix1 "
        "1.0.0-hotfix2 1.0.0-hotfix10 1.0.1.dev1 1.0.1",
        "v1.23.0 v1.24.0-preview.321.gabcdef0 v1.24.0 V1.24.1 v1.25.0",
    ],
)
def test_versions_as_people_write_them(order: str) -> None:
    names = order.split()
    assert sorted(set(names), key=rank) == names
    assert len({rank(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["", "unknown", "factory", "v", "-1", "²", "٣x", "vv1", "é1"])
def test_a_version_without_a_readable_beginning_has_no_rank(name: str) -> None:
    assert rank_or_none(name) is None


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1.0-site-b", "2.0-site-b"),
        ("9-site-b", "10-site-b"),
        ("2024-site-a", "2024-site-b"),
        ("1.x.2", "1.x.10"),
        ("v9-x", "10-x"),
        ("1-x", "1-x.1"),
    ],
)
def test_numbers_in_loose_names_count_as_numbers_and_the_rest_as_text(low: str, high: str) -> None:
    assert rank(low) < rank(high)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1.0.0"), ("v1.0", "1.0"), ("1.0rc1", "1.0-rc.1"), ("v1-site", "1-site")],
)
def test_names_that_mean_the_same_are_of_equal_rank(one: str, other: str) -> None:
    assert rank(one) == rank(other)


@pytest.mark.parametrize("name", ["1", "1.0.1", "v2", "v2.0rc1", "0-x", "2024-site-b", "V1.0.1"])
def test_a_version_begins_with_a_digit_or_v_and_a_digit(name: str) -> None:
    assert is_version_name(name)


@pytest.mark.parametrize("name", ["", "v", "vv1", "lopy4", "beta", "-1", ".1", "²", "v٣"])
def test_anything_else_is_no_version(name: str) -> None:
    assert not is_version_name(name)


@pytest.mark.parametrize("name", ["9" * 255, "1." * 127 + "1", "1-" + "9" * 250, "1" + "a" * 254])
def test_the_longest_names_have_a_rank(name: str) -> None:
    assert rank(name) == rank(name)
