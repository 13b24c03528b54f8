"""What the commands say when they can't do what they were asked to do."""

import click


class Refused(click.ClickException):
    """A command was asked for something impossible; it ends with one sentence.

    Args:
        why: the reason, without a capital or a full stop.
    """

    exit_code = 2

    def show(self, file: object = None) -> None:
        """Print the reason to standard error.

        Args:
            file: ignored: click never passes one.
        """
        click.echo(f"otaserver: {self.message}", err=True)
