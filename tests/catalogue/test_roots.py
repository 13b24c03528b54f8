import pytest

from otaserver.catalogue.roots import BadRoots, parse_roots


@pytest.mark.parametrize(
    ("text", "roots"),
    [("flash,sd", ("flash", "sd")), ("app", ("app",)), ("A_b-1,x", ("A_b-1", "x"))],
)
def test_roots_are_names_separated_by_commas(text: str, roots: tuple[str, ...]) -> None:
    assert parse_roots(text) == roots


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flash,",
        "flash, sd",
        "/flash",
        "flash/lib",
        "..",
        ".hidden",
        "1",
        "v2",
        "ü",
        "a\0",
        "a,A",
    ],
)
def test_what_can_be_no_list_of_roots_is_refused(text: str) -> None:
    with pytest.raises(BadRoots, match="is not a list of different names such as flash,sd"):
        parse_roots(text)
