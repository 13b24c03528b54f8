"""Trying whether the server could start, before twistd turns into a daemon.

Once it has, an error can only be reported in twistd's own words around its first hundred
bytes. So whatever can be tried beforehand is tried, without leaving a trace: a port is bound
and closed again, a folder is looked at but nothing is created in it, because the daemon may
run as another user.
"""

import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError


class TrialReactor:
    """What TCP endpoints need of a reactor to listen: it binds a port, and lets it go."""

    def listenTCP(
        self, port: int, factory: object, backlog: int = 50, interface: str = ""
    ) -> object:
        """Try whether a TCP port can be bound.

        Args:
            port: the port; 0 for any.
            factory: ignored.
            backlog: ignored.
            interface: the address; empty for all.

        Returns:
            Nothing of use.

        Raises:
            CannotListenError: the port can't be bound.
        """
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                # As Twisted does: what is left of a former server must not count.
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((interface, port))
                trial.listen(1)
        except (OSError, OverflowError) as error:
            raise CannotListenError(interface, port, error) from error
        return None

    def listenSSL(
        self, port: int, factory: object, contextFactory: object, **options: Any
    ) -> object:
        """Try whether a port for TLS can be bound.

        Args:
            port: see `listenTCP`.
            factory: likewise.
            contextFactory: ignored.
            options: see `listenTCP`.

        Returns:
            Nothing of use.

        Raises:
            CannotListenError: the port can't be bound.
        """
        return self.listenTCP(port, factory, **options)


def folder_fault(folder: Path) -> str:
    """Tell why a folder, or one that has to be made, could not be written to.

    Args:
        folder: the folder, as an absolute path.

    Returns:
        The reason; empty if none is apparent.
    """
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} is not writable"
    return ""
