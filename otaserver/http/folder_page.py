"""A folder of the tree as an HTML page, for browsing."""

from html import escape
from string import Template
from time import gmtime, strftime
from urllib.parse import quote

from otaserver.catalogue.model import MANIFEST_NAME, Folder

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { padding: .2rem 1rem .2rem 0; text-align: left; white-space: nowrap }
td:first-child { white-space: normal; width: 100% }
td:nth-child(2), th:nth-child(2) { text-align: right }
tr + tr { border-top: 1px solid #8884 }
:root { color-scheme: light dark }
</style>
</head>
<body>
<h1>$title</h1>
<table>
<tr><th>Name</th><th>Bytes</th><th>Modified (UTC)</th></tr>
$rows
</table>
</body>
</html>
""")


def folder_page(folder: Folder) -> bytes:
    """Render a folder as an HTML page.

    Args:
        folder: a folder in the catalogue.

    Returns:
        The page in UTF-8.
    """
    rows = [_row("../", "", "")] if folder.path else []
    if folder.tree is not None:
        rows.append(_row(MANIFEST_NAME, "", ""))
    rows += [_row(f"{name}/", "", _time(inner.mtime_s)) for name, inner in folder.folders.items()]
    rows += [
        _row(name, f"{file.size_bytes:,}", _time(file.mtime_s))
        for name, file in folder.files.items()
    ]
    title = escape(f"/{folder.path}")
    return _PAGE.substitute(title=title, rows="\n".join(rows)).encode()


def _row(name: str, size: str, changed: str) -> str:
    # Without the "./", a name with a colon in it would be read as a URL scheme.
    link = f'<a href="./{quote(name)}">{escape(name)}</a>'
    return f"<tr><td>{link}</td><td>{size}</td><td>{changed}</td></tr>"


def _time(seconds: int) -> str:
    return strftime("%Y-%m-%d %H:%M", gmtime(seconds))
