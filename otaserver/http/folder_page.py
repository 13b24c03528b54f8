"""A folder of the tree as an HTML page, for browsing: what is offered, and what is wrong."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from time import gmtime, strftime
from urllib.parse import quote

from otaserver.catalogue.model import MANIFEST_NAME, Folder, ReleaseTree
from otaserver.catalogue.problems import Problem, Weight
from otaserver.http.html_page import html_page, text
from otaserver.service import FolderView

_ROOT_NAME = "Releases"

# So many reasons are given in a row; the rest are on the page of the folder itself.
_MAX_REASONS = 5

_OFFERED = ' <span class="mark good">offered</span>'

_TABLE = """\
<table>
<thead>
<tr><th>Name</th><th>Bytes</th><th>Modified (UTC)</th></tr>
</thead>
<tbody>
{}
</tbody>
</table>"""


def folder_page(view: FolderView) -> bytes:
    """Render a folder as an HTML page.

    Args:
        view: the folder, with its surroundings.

    Returns:
        The page in UTF-8.
    """
    folder, product = view.folder, view.product
    name = product.path or _ROOT_NAME
    if folder is product:
        title = heading = name
    else:
        heading = folder.path[len(product.prefix) :]
        title = f"{heading} \N{EN DASH} {name}"
    problems = _by_entry(view)
    own = problems.pop("", [])
    parts = [
        _way_up(folder),
        f"<h1>{text(heading)}{_OFFERED if _is_in_offered(view, heading) else ''}</h1>",
        _offer_line(folder),
        _reasons(folder, own, len(own)),
        _TABLE.format("\n".join(_rows(folder, problems))),
    ]
    return html_page(title, "\n".join(filter(None, parts)))


def _by_entry(view: FolderView) -> dict[str, list[Problem]]:
    """Sort problems by the entry of the folder that they are in; those of its own under ""."""
    found: defaultdict[str, list[Problem]] = defaultdict(list)
    start = len(view.folder.prefix)
    for problem in view.problems:
        found[problem.path[start:].partition("/")[0]].append(problem)
    return found


def _is_in_offered(view: FolderView, heading: str) -> bool:
    """Whether the folder is the release that is offered, or in it."""
    newest = view.product.tree.newest_release if view.product.tree else None
    return (
        view.folder is not view.product
        and newest is not None
        and heading.partition("/")[0] == newest.version
    )


def _way_up(folder: Folder) -> str:
    """Links to all folders above."""
    if not folder.path:
        return ""
    names = [_ROOT_NAME, *folder.path.split("/")]
    steps = range(len(names) - 1, 0, -1)
    links = [
        f'<a href="{"../" * up}">{text(name)}</a>'
        for up, name in zip(steps, names[:-1], strict=True)
    ]
    return f"<nav>{' / '.join(links)} /</nav>"


def _offer_line(folder: Folder) -> str:
    if folder.tree is None:
        return ""
    offers = _offers(folder.tree)
    if offers:
        links = [f'{kind} <a href="./{quote(to)}">{text(of)}</a>' for kind, of, to in offers]
        return f"<p>Offered now: {', '.join(links)}</p>"
    has_products = any(inner.tree is not None for inner in folder.folders.values())
    if has_products and not (folder.tree.releases or folder.tree.firmwares):
        return ""
    return "<p>Nothing is offered here now.</p>"


def _offers(tree: ReleaseTree) -> list[tuple[str, str, str]]:
    """What is offered: its kind, its version, and its address relative to the tree."""
    release, firmware = tree.newest_release, tree.newest_firmware
    return [
        *([("release", release.version, f"{release.version}/")] if release else ()),
        *([("firmware", firmware.version, firmware.file.name)] if firmware else ()),
    ]


def _rows(folder: Folder, problems: Mapping[str, Sequence[Problem]]) -> Iterator[str]:
    offered = {to for _, _, to in _offers(folder.tree)} if folder.tree else set()
    listed = {MANIFEST_NAME, *folder.folders, *folder.files}
    if folder.path:
        yield _row(_link("../"))
    if folder.tree is not None:
        reasons = problems.get(MANIFEST_NAME, ())
        yield _row(_link(MANIFEST_NAME) + _count_mark(reasons) + _reasons(folder, reasons))
    for name, inner in folder.folders.items():
        about = _about(folder, name, f"{name}/" in offered, problems.get(name, ()))
        yield _row(_link(f"{name}/") + about, changed=_time(inner.mtime_s))
    for name, file in folder.files.items():
        about = _about(folder, name, name in offered, problems.get(name, ()))
        yield _row(_link(name) + about, f"{file.size_bytes:,}", _time(file.mtime_s))
    for name in sorted(problems.keys() - listed):
        is_held_back = _is_held_back(problems[name])
        mark = _mark("not offered", "bad") if is_held_back else _mark("left out", "odd")
        yield _row(text(name) + mark + _reasons(folder, problems[name]))


def _about(folder: Folder, name: str, is_offered: bool, problems: Sequence[Problem]) -> str:
    """What follows the name of an entry: whether it is offered, and if not, why."""
    inner = folder.folders.get(name)
    if inner is not None and inner.tree is not None:
        shown = ", ".join(f"{kind} {text(version)}" for kind, version, _ in _offers(inner.tree))
        mark = f' <span class="dim">{shown or "offers nothing"}</span>' + _count_mark(problems)
    elif is_offered:
        mark = _OFFERED + _count_mark(problems)
    elif folder.tree is not None and _is_held_back(problems):
        mark = _mark("not offered", "bad")
    else:
        mark = _count_mark(problems)
    return mark + _reasons(folder, problems)


def _is_held_back(problems: Sequence[Problem]) -> bool:
    return bool(problems) and problems[0].weight is Weight.NOT_OFFERED


def _count_mark(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
    return _mark(count, "bad" if _is_held_back(problems) else "odd")


def _mark(label: str, kind: str) -> str:
    return f' <span class="mark {kind}">{label}</span>'


def _reasons(folder: Folder, problems: Sequence[Problem], most: int = _MAX_REASONS) -> str:
    """Say what is wrong in a folder, and what to do about it."""
    if not problems:
        return ""
    items = []
    for problem in problems[:most]:
        where = problem.path[len(folder.prefix) :] or folder.name or "the root"
        items.append(f"<li>{text(f'{where} {problem.what}.')} <b>{text(problem.advice)}</b></li>")
    if len(problems) > most:
        items.append(f"<li>{len(problems) - most:,} more</li>")
    return f"<ul>{''.join(items)}</ul>"


def _link(name: str) -> str:
    # Without the "./", a name with a colon in it would be read as a URL scheme.
    return f'<a href="./{quote(name)}">{text(name)}</a>'


def _row(entry: str, size: str = "", changed: str = "") -> str:
    return f"<tr><td>{entry}</td><td>{size}</td><td>{changed}</td></tr>"


def _time(seconds: int) -> str:
    return strftime("%Y-%m-%d %H:%M", gmtime(seconds))
