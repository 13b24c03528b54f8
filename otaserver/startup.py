"""Starting the server, and reporting in one line why it can't start."""

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
    """The server can't start with these options.

    This has two base classes: twistd cleans up after an ordinary exception, and Python
    ends the process on SystemExit with one line and no traceback.

    Args:
        why: the reason, without a capital or a full stop.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = f"otaserver: {why}"


class Server(MultiService):
    """The parent of all services; it reports in one line why one of them can't start.

    Args:
        root: the release tree's folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def privilegedStartService(self) -> None:
        """Start listening, while the process may still open privileged ports.

        Raises:
            CannotStart: a service can't start, for example because a port is in use.
        """
        with _one_line():
            super().privilegedStartService()

    def startService(self) -> None:
        """Start everything else.

        Raises:
            CannotStart: the release tree can't be read, or a service can't start.
        """
        with _one_line():
            # Privileges may have been dropped since the options were read.
            check_root(self._root)
            super().startService()


def listen(option: str, endpoint: str, factory: Any) -> Any:
    """Make a service that listens at an endpoint.

    Args:
        option: the option that the endpoint was given with, for error messages.
        endpoint: its description, as for Twisted's `serverFromString`.
        factory: the protocol factory.

    Returns:
        The service.

    Raises:
        CannotStart: the description is malformed.
    """
    try:
        return strports.service(endpoint, factory)
    except Exception as error:
        # Each endpoint parser raises exceptions of its own.
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
    """Check that the release tree can be read.

    Args:
        root: the release tree's folder.

    Raises:
        CannotStart: it can't be read.
    """
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise CannotStart(f"can't read the release tree {root}: {error.strerror}") from error
