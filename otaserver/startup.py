"""Starting the server, so that what keeps it from starting is said in one line."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.application import strports
from twisted.application.service import MultiService
from twisted.internet.error import CannotListenError

from otaserver.errors import OTAServerError


class CannotStart(OTAServerError, SystemExit):
    """The server can't run as it was asked to.

    It is two kinds of exception at once: twistd cleans up after the one, and for the
    other Python ends the process with one line and no traceback.

    Args:
        why: what keeps it from running.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = f"otaserver: {why}"


class Server(MultiService):
    """All services; what keeps one from starting is said in one line.

    Args:
        root: the release tree.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def privilegedStartService(self) -> None:
        """Listen, while low ports can still be had."""
        with _one_line():
            super().privilegedStartService()

    def startService(self) -> None:
        """Start the rest."""
        with _one_line():
            # Privileges may be dropped since the options were read.
            check_root(self._root)
            super().startService()


def listen(option: str, endpoint: str, factory: Any) -> Any:
    """Make the service that listens at an endpoint.

    Args:
        option: the option that names the endpoint, for messages.
        endpoint: its description, as Twisted's `serverFromString` takes it.
        factory: makes the protocols.

    Returns:
        The service.

    Raises:
        CannotStart: the description is malformed.
    """
    try:
        return strports.service(endpoint, factory)
    except Exception as error:
        # Each kind of endpoint parses its own description, and raises what it likes.
        raise CannotStart(f"{option} {endpoint!r} is not a valid endpoint: {error}") from error


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (OTAServerError, CannotListenError, OSError, OverflowError) as error:
        # By now twistd has redirected sys.stderr to its log.
        print(f"otaserver: {error}", file=sys.__stderr__)
        raise CannotStart(str(error)) from error


def check_root(root: Path) -> None:
    """See whether the release tree can be read at all.

    Args:
        root: the tree's folder.

    Raises:
        CannotStart: it can't.
    """
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise CannotStart(f"can't read the release tree {root}: {error.strerror}") from error
