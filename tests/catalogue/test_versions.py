import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from otaserver.catalogue.versions import is_version_name, rank

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
versions = st.one_of(pep440, loose)


def is_pep440(name: str) -> bool:
    try:
        Version(name)
    except InvalidVersion:
        return False
    return True


@given(pep440, pep440)
def test_pep_440_names_stand_in_the_order_that_packaging_gives_them(a: str, b: str) -> None:
    assert (rank(a) < rank(b)) == (Version(a) < Version(b))
    assert (rank(a) == rank(b)) == (Version(a) == Version(b))


@given(versions, versions)
@example("²", "1-x")
@example("٣x", "3-x")
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


@given(pep440, loose)
def test_a_name_that_pep_440_does_not_know_is_below_every_one_that_it_knows(
    known: str, other: str
) -> None:
    if not is_pep440(other):
        assert rank(other) < rank(known)


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
    assert not rank(low).is_pep440


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1.0.0"), ("v1.0", "1.0"), ("1.0rc1", "1.0-rc.1"), ("v1-site", "1-site")],
)
def test_names_that_mean_the_same_are_of_equal_rank(one: str, other: str) -> None:
    assert rank(one) == rank(other)


@pytest.mark.parametrize("name", ["1", "1.0.1", "v2", "v2.0rc1", "0-x", "2024-site-b"])
def test_a_version_begins_with_a_digit_or_v_and_a_digit(name: str) -> None:
    assert is_version_name(name)


@pytest.mark.parametrize("name", ["", "v", "vv1", "V1", "lopy4", "beta", "-1", ".1", "²", "v٣"])
def test_anything_else_is_no_version(name: str) -> None:
    assert not is_version_name(name)


@pytest.mark.parametrize("name", ["9" * 255, "1." * 127 + "1", "1-" + "9" * 250, "1" + "a" * 254])
def test_the_longest_names_have_a_rank(name: str) -> None:
    assert rank(name) == rank(name)
