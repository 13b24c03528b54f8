"""Trying whether the server could start, before twistd turns into a daemon.

Once it has, an error can only be reported in twistd's own words around its first hundred
bytes. So whatever can be tried beforehand is tried, without leaving a trace: a port is bound
and closed again, a folder is looked at but nothing is created in it.
"""

import errno
import os
import pwd
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.python.util import switchUID

_MAX_SENTENCE_BYTES = 4096

# unix(7): sun_path has 108 bytes, and Python ends it with a NUL.
_MAX_SOCKET_PATH_BYTES = 107


class TrialReactor(ExitStack):
    """What endpoints need of a reactor in order to listen: it binds ports, and lets them go.

    Use it as a context manager: the ports stay bound until its end, so that two endpoints
    with the same port are noticed.
    """

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
            trial = self.enter_context(socket.socket(family, socket.SOCK_STREAM))
            # As Twisted does: what is left of a former server must not count.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            address: Any = (interface, port)
            if family == socket.AF_INET6:
                # Resolved, it has the scope of a link-local address.
                address = socket.getaddrinfo(interface, port, family, socket.SOCK_STREAM)[0][4]
            trial.bind(address)
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

    def listenUNIX(
        self, address: str, factory: object, wantPID: bool = False, **options: object
    ) -> object:
        """Try whether a Unix socket could be made, but make none.

        Args:
            address: its path.
            factory: ignored.
            wantPID: whether a lock beside it keeps a second server from replacing it.
            options: ignored.

        Returns:
            Nothing of use.

        Raises:
            CannotListenError: its folder can't be written to, or the path is taken.
        """
        path = Path(address)
        # Twisted removes what a killed server left, but only if its lock is there, too. So
        # this must not touch the lock.
        is_left = wantPID and path.is_socket() and os.path.islink(f"{address}.lock")
        fault = 0
        if len(os.fsencode(address)) > _MAX_SOCKET_PATH_BYTES:
            fault = errno.ENAMETOOLONG
        elif (path.exists() and not is_left) or (wantPID and _is_held(f"{address}.lock")):
            fault = errno.EADDRINUSE
        elif not path.parent.is_dir():
            fault = errno.ENOENT
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            fault = errno.EACCES
        if fault:
            raise CannotListenError("", address, OSError(fault, os.strerror(fault)))
        return None


def _is_held(lock: str) -> bool:
    """Tell whether the process that holds one of Twisted's locks still runs."""
    try:
        os.kill(int(os.readlink(lock)), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


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
        return f"{str(existing)!r} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{str(existing)!r} is not writable"
    return ""


def fault_as_user(uid: int | None, gid: int | None, find_fault: Callable[[], str]) -> str:
    """Look for a fault with the rights of the user that a daemon will run as.

    That is done in a process of its own, because only a process that ends can take on
    another user's groups and be trusted to keep no trace of them.

    Args:
        uid: the user; None to stay the present one.
        gid: likewise, the group.
        find_fault: looks for a fault; an empty text stands for none.

    Returns:
        What it returned.
    """
    if uid in (None, os.getuid()) and gid in (None, os.getgid()):
        return find_fault()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        # Whatever goes wrong, this process must not go on in place of its parent.
        try:
            _switch_user(uid, gid)
            os.write(writing, find_fault().encode(errors="replace")[:_MAX_SENTENCE_BYTES])
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        fault = pipe.read()
    os.waitpid(child, 0)
    return fault


def _switch_user(uid: int | None, gid: int | None) -> None:
    # If the change is not allowed, twistd says so itself.
    with suppress(OSError, KeyError):
        # As twistd does.
        switchUID(uid, pwd.getpwuid(uid).pw_gid if uid and gid is None else gid)
