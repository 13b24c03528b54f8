"""An error as an HTML page, for people, with a way back."""

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from otaserver.catalogue.model import Folder
from otaserver.catalogue.paths import TreePath
from otaserver.http.answers import Answer, answer
from otaserver.http.html_page import PAGE_FIELDS, html_page, text


class WayBack(NamedTuple):
    """Where a person can go from an error.

    Attributes:
        link: a URL, relative to the one that was requested where possible, so that it
            also leads there behind a proxy that serves the tree below another path.
        name: what it leads to.
    """

    link: str
    name: str


HOME = WayBack("/", "/")


def way_back(path: TreePath, nearest: Folder) -> WayBack:
    """Find the way back from a path that can't be served.

    Args:
        path: the path.
        nearest: the folder at the path, or the nearest one above it.

    Returns:
        The way to that folder.
    """
    depth = len(nearest.path.split("/")) if nearest.path else 0
    above = len(path.names) - depth - (0 if path.is_folder else 1)
    if above < 0:
        # The folder itself was requested, without its trailing slash.
        return WayBack(f"./{quote(nearest.name)}/", f"/{nearest.path}")
    return WayBack("../" * above or "./", f"/{nearest.path}")


def error_page(
    status: HTTPStatus, sentence: str, back: WayBack, fields: Mapping[str, str]
) -> Answer:
    """Make an answer of one sentence and a link.

    Args:
        status: the status code.
        sentence: what is wrong.
        back: where the link leads.
        fields: further header fields.

    Returns:
        The answer.
    """
    title = f"{status.value} {status.phrase}"
    body = (
        f"<h1>{title}</h1>\n<p>{text(sentence)}</p>\n"
        f'<p><a href="{escape(back.link)}">Back to {text(back.name)}</a></p>'
    )
    return answer(
        status, {**PAGE_FIELDS, "Cache-Control": "no-store", **fields}, html_page(title, body)
    )
