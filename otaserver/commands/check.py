"""``otaserver check``: what a release tree offers, and what is wrong with it."""

import json

import click

from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.model import Catalogue
from otaserver.catalogue.problems import Weight
from otaserver.catalogue.release_rules import DEFAULT_ROOTS
from otaserver.catalogue.roots import BadRoots, parse_roots
from otaserver.catalogue.scan import ScanError, Scanner
from otaserver.commands.check_report import as_json, as_text
from otaserver.commands.errors import Refused

_NAME_IT = "name its folder, as in `otaserver check releases`"

_HELP = """\
Say what the release tree TREE offers to which devices, and everything that is wrong
with it, the gravest first, with what to do about it.

The server need not be running. An upload that is going on counts as wrong: nothing is
waited for.

The exit status is 1 if anything is kept from being offered, and 2 if TREE can't be read.
"""


@click.command(help=_HELP, short_help="Say what a release tree offers, and what is wrong.")
@click.argument("tree", default="releases")
@click.option(
    "--roots",
    default=",".join(DEFAULT_ROOTS),
    show_default=True,
    metavar="NAMES",
    help="The folders of a device that releases may have files in, separated by commas.",
)
@click.option("--json", "is_json", is_flag=True, help="Print a JSON object instead of text.")
@click.pass_context
def check(context: click.Context, tree: str, roots: str, is_json: bool) -> None:
    """Check a release tree, print the result, and exit with its status.

    Args:
        context: what click knows of the command line.
        tree: the release tree's folder.
        roots: the folders of a device that releases may have files in.
        is_json: whether to print JSON.
    """
    catalogue = _read(tree, roots)
    if is_json:
        click.echo(json.dumps(as_json(catalogue), indent=2))
    else:
        for line in as_text(catalogue):
            click.echo(line)
    is_held_back = any(p.weight is Weight.NOT_OFFERED for p in catalogue.problems)
    context.exit(1 if is_held_back or catalogue.unsettled else 0)


def _read(tree: str, roots: str) -> Catalogue:
    """Scan the tree once; its files are not hashed, which would take long and tell nothing."""
    if not tree:
        # As a variable in a script may be; it would stand for the working directory.
        raise Refused(f"the release tree has an empty name; {_NAME_IT}")
    try:
        return Scanner(
            tree,
            HashStore(":memory:"),
            settle_s=0,
            roots=parse_roots(roots),
            reads_content=False,
        ).scan()
    except BadRoots as error:
        raise Refused(f"--roots {error}") from error
    except ScanError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise Refused(f"can't read the release tree {tree}: {reason}; {_NAME_IT}") from error
