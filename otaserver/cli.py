"""The ``otaserver`` command, which loads no Twisted.

Serving is ``twistd otaserver``; this is for people and machines that prepare releases.
It needs click, which the base installation does not have.
"""

import io
import os
import sys
from importlib.util import find_spec

# 1 is a finding's.
_FAILED_EXIT_STATUS = 2


def main() -> None:
    """Run the command that the command line names, and exit with its status."""
    if find_spec("click") is None:
        print(
            "otaserver: this command needs click, which is not installed; "
            "run: pip install 'otaserver[publish]'",
            file=sys.stderr,
        )
        sys.exit(_FAILED_EXIT_STATUS)
    from otaserver.commands.group import otaserver

    for stream in (sys.stdout, sys.stderr):
        # File names may have characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        otaserver(prog_name="otaserver")
    except OSError as error:
        # What is left of the output is not to be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"otaserver: can't write the output: {error.strerror}", file=sys.stderr)
        sys.exit(_FAILED_EXIT_STATUS)
