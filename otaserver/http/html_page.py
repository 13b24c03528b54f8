"""What all pages for people have in common: how they look, and how they are sent."""

from collections.abc import Mapping
from html import escape
from string import Template
from types import MappingProxyType

from otaserver.catalogue.problems import printable

PAGE_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
    }
)

# Each color has a contrast of at least 4.5 with the background, and white with it on marks.
_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --good: #1a7035; --bad: #b3261e; --odd: #7d5700; --dim: #5f6368;
  --on-mark: #fff }
@media (prefers-color-scheme: dark) {
  :root { --good: #6fcf8c; --bad: #ff8a80; --odd: #e5b73b; --dim: #a0a4a9; --on-mark: #111 } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 54rem;
  padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .2rem 0 .6rem }
nav, .dim, td:nth-child(n+2), th { color: var(--dim); font-size: .9rem }
table { border-collapse: collapse; margin-top: 1rem; width: 100% }
td, th { padding: .35rem 1rem .35rem 0; text-align: left; vertical-align: baseline;
  white-space: nowrap }
td:first-child { white-space: normal; width: 100% }
td:nth-child(2), th:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums }
td:last-child, th:last-child { padding-right: 0 }
tbody tr { border-top: 1px solid #8884 }
.mark { border-radius: .3rem; color: var(--on-mark); font-size: .8rem; font-weight: 600;
  margin-left: .3rem; padding: .1rem .4rem; vertical-align: .1rem; white-space: nowrap }
.good { background: var(--good) } .bad { background: var(--bad) } .odd { background: var(--odd) }
ul { font-size: .9rem; margin: .2rem 0 .3rem; padding-left: 1.1rem }
li { margin: .15rem 0 }
@media (max-width: 36rem) {
  thead { display: none }
  table, tbody, tr, td { display: block }
  tr { padding: .4rem 0 }
  td { padding: 0 }
  td:nth-child(n+2) { display: inline; padding-right: 1rem; text-align: left }
  td:nth-child(2):after { content: " B" }
  td:empty { display: none }
}
</style>
</head>
<body>
$body
</body>
</html>
""")


def html_page(title: str, body: str) -> bytes:
    """Put a page together.

    Args:
        title: the title, as text.
        body: the body, as HTML.

    Returns:
        The page in UTF-8.
    """
    return _PAGE.substitute(title=text(title), body=body).encode()


def text(name: str) -> str:
    """Write a text as HTML that may have names of files or other input in it.

    Args:
        name: the text.

    Returns:
        The text, which can neither be taken for HTML nor change the order of what is
        beside it.
    """
    return escape(printable(name))
