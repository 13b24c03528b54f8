"""The ``otaserver`` command itself: what all its subcommands share."""

import os

import click

from otaserver.commands.check import check


@click.group(help="Prepare and check the releases that `twistd otaserver` serves.")
@click.version_option(package_name="otaserver")
@click.pass_context
def otaserver(context: click.Context) -> None:
    """Begin any command: settle whether it may use colours.

    Args:
        context: what click knows of the command line.
    """
    # https://no-color.org; otherwise, click uses colours only on a terminal.
    if os.environ.get("NO_COLOR"):
        context.color = False


otaserver.add_command(check)
