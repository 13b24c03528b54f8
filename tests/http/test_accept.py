import pytest

from otaserver.http.accept import prefers_html

FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        FIREFOX,
        "text/html",
        "TEXT/HTML;Q=0.3",
        "text/plain;q=0.5, text/html;q=0.6",
        "text/html;level=1;q=0.1",
        "text/*, text/plain;q=0.2",
        "*/*, text/plain;q=0",
        ",,text/html,",
    ],
)
def test_html_is_for_those_who_prefer_it(accept: str) -> None:
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "text/*",
        "text/plain",
        "text/plain, text/html",
        "text/html;q=0.5, text/plain",
        "text/html;q=0",
        "text/html;q=0.5, */*",
        "text/html;q=2",
        "text/html;q=inf",
        "text/html;q=nan",
        "text/html;q=",
        "text/html;q",
        "application/json",
        ";;;,;q=1",
    ],
)
def test_everybody_else_gets_the_sentence(accept: str | None) -> None:
    assert not prefers_html(accept)
