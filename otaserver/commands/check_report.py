"""What ``otaserver check`` prints, as text for people and as JSON for programs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

import click

from otaserver.catalogue.model import Catalogue, Firmware, Release
from otaserver.catalogue.problems import Problem, Weight, printable
from otaserver.manifest.overview import ProductOverview, overview

_HEADINGS: Mapping[Weight, tuple[str, str]] = MappingProxyType(
    {
        Weight.NOT_OFFERED: ("Not offered, or not to all devices:", "red"),
        Weight.CHANGED: ("Changed since it was first offered:", "yellow"),
        Weight.LEFT_OUT: ("Left out, which may not be intended:", "yellow"),
    }
)

_UNSETTLED = "Something is unfinished, or was changing while it was read: check again later."


def as_text(catalogue: Catalogue) -> Iterator[str]:
    """Report on a release tree to people.

    Args:
        catalogue: the tree.

    Yields:
        Lines, with colours for a terminal.
    """
    for product in overview(catalogue):
        yield click.style(f"/{printable(product.path)}", bold=True)
        yield from _offers(product)
        yield ""
    for weight, problems in groupby(catalogue.problems, lambda problem: problem.weight):
        heading, color = _HEADINGS[weight]
        yield click.style(heading, fg=color, bold=True)
        for problem in problems:
            yield from _complaint(problem)
        yield ""
    if catalogue.unsettled:
        yield _UNSETTLED
    elif not catalogue.problems:
        yield click.style("Nothing is wrong.", fg="green")


def as_json(catalogue: Catalogue) -> dict[str, Any]:
    """Report on a release tree to programs; the README explains the keys.

    Args:
        catalogue: the tree.

    Returns:
        What can be turned into JSON.
    """
    return {
        "products": [_product_as_json(product) for product in overview(catalogue)],
        "problems": [
            {
                "weight": problem.weight.name.lower(),
                "path": problem.path,
                "what": problem.what,
                "remedy": problem.remedy,
            }
            for problem in catalogue.problems
        ],
        "unsettled": catalogue.unsettled,
    }


def _offers(product: ProductOverview) -> Iterator[str]:
    if product.release is None and product.firmware is None:
        yield "    nothing is offered"
    if product.release is not None:
        size = f"{_count(len(product.release.files), 'file')}, {_bytes(product.release)}"
        yield _offer("release", product.release.version, size)
    for instead, versions in _grouped(product.detours):
        gets = f"release {printable(instead)}" if instead is not None else "no release"
        yield f"        {gets} for devices on {_listed(versions)}, which can't take it"
    yield from _nothing_above("release", product.releases_above)
    if product.firmware is not None:
        yield _offer("firmware", product.firmware.version, _bytes(product.firmware))
    yield from _nothing_above("firmware", product.firmwares_above)


def _offer(kind: str, version: str, size: str) -> str:
    shown = click.style(f"{kind} {printable(version)}", fg="green")
    return f"    {shown} ({size}) for devices below {printable(version)} or without a version"


def _nothing_above(kind: str, versions: Sequence[str]) -> Iterator[str]:
    if versions:
        yield f"        no {kind} for devices on {_listed(versions)}, which is not offered"


def _grouped(detours: Mapping[str, Release | None]) -> Iterator[tuple[str | None, list[str]]]:
    groups: dict[str | None, list[str]] = {}
    for version, instead in detours.items():
        groups.setdefault(instead.version if instead is not None else None, []).append(version)
    yield from groups.items()


def _complaint(problem: Problem) -> Iterator[str]:
    # Names in it can have control characters, which must not reach the terminal.
    yield f"    {printable(problem.path) or 'the root'} {printable(problem.what)}."
    if problem.advice:
        yield f"        {printable(problem.advice)}"


def _product_as_json(product: ProductOverview) -> dict[str, Any]:
    release, firmware = product.release, product.firmware
    return {
        "path": product.path,
        "release": release
        and {
            "version": release.version,
            "files": len(release.files),
            "bytes": _size_bytes(release),
        },
        "firmware": firmware and {"version": firmware.version, "bytes": _size_bytes(firmware)},
        "detours": {
            version: instead.version if instead is not None else None
            for version, instead in product.detours.items()
        },
        "releases_above": list(product.releases_above),
        "firmwares_above": list(product.firmwares_above),
    }


def _size_bytes(item: Release | Firmware) -> int:
    if isinstance(item, Firmware):
        return item.file.size_bytes
    return sum(file.size_bytes for file in item.files.values())


def _bytes(item: Release | Firmware) -> str:
    return _count(_size_bytes(item), "byte")


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _listed(versions: Iterable[str]) -> str:
    *others, last = map(printable, versions)
    return f"{', '.join(others)} or {last}" if others else last
