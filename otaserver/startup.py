"""Starting the server, and reporting in one line why it can't start."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from twisted.application import strports
from twisted.application.service import MultiService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from otaserver.errors import OTAServerError
from otaserver.trial import TrialReactor, folder_fault

_LOCK_NAME = "lock"

# The kinds of endpoint whose ports are tried before the server becomes a daemon.
_TRIED = frozenset(("tcp", "tcp6", "ssl", "tls"))


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
        state: the state folder.
    """

    def __init__(self, root: Path, state: Path) -> None:
        super().__init__()
        self._root = root
        self._state = state
        self._lock: IO[bytes] | None = None

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
            # Not earlier either: the folder has to belong to the server's own user. The
            # kernel releases the lock when the process ends, however that happens.
            self._lock = lock_state(self._state)
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
        CannotStart: the description is malformed, its port is taken, or what it needs
            is not installed.
    """
    _check_tls(option, endpoint)
    failures: list[Failure] = []
    try:
        service = strports.service(endpoint, factory)
        # Other kinds would use up what they are given: a socket from systemd is closed.
        if endpoint.removeprefix("haproxy:").partition(":")[0] in _TRIED:
            trial: Any = serverFromString(TrialReactor(), endpoint).listen(factory)
            trial.addErrback(failures.append)
    except Exception as error:
        # Each endpoint parser raises exceptions of its own.
        raise CannotStart(f"{option} {endpoint!r} is not a valid endpoint: {error}") from error
    for failure in failures:
        raise CannotStart(_why_not(option, endpoint, failure.value)) from failure.value
    return service


def _why_not(option: str, endpoint: str, error: BaseException | None) -> str:
    cause = error.socketError if isinstance(error, CannotListenError) else error
    reason = getattr(cause, "strerror", None) or str(cause).removeprefix("bind(): ")
    return f"can't listen at {option} {endpoint!r}: {reason}; choose another with {option}"


def _check_tls(option: str, endpoint: str) -> None:
    """Point out what is easily got wrong about TLS."""
    kind, _, rest = endpoint.partition(":")
    if kind not in ("tls", "ssl"):
        return
    if find_spec("OpenSSL") is None or find_spec("service_identity") is None:
        raise CannotStart(
            f"{option} {endpoint!r} needs packages for TLS: pip install 'otaserver[tls]'"
        )
    folder, *others = rest.split(":")
    if kind == "tls" and folder.isdecimal() and not others:
        raise CannotStart(
            f"{option} {endpoint!r} means a folder of certificates called {folder}, and port 443: "
            f"write tls:FOLDER:{folder}"
        )


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


def check_state(state: Path, root: Path) -> None:
    """Check that there can be a state folder.

    Args:
        state: the folder, as an absolute path; it need not exist yet.
        root: the release tree's folder.

    Raises:
        CannotStart: it can't be written to, or is inside the release tree, which is
            served.
    """
    if state.resolve().is_relative_to(root.resolve()):
        raise CannotStart(
            f"--state {state} is inside the release tree {root}, which is served to everybody: "
            "choose a folder outside it"
        )
    fault = folder_fault(state)
    if fault:
        raise CannotStart(f"can't keep state in {state}: {fault}")
    if (state / _LOCK_NAME).exists():
        lock_state(state).close()


def lock_state(state: Path) -> IO[bytes]:
    """Take hold of a state folder, so that no second server uses it.

    Args:
        state: the folder, which is created if it is missing.

    Returns:
        The lock's file; the folder is free again once it is closed.

    Raises:
        CannotStart: another server holds it, or it can't be written to.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (state / _LOCK_NAME).open("ab")
    except OSError as error:
        raise CannotStart(f"can't keep state in {state}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise CannotStart(
            f"another server uses the state folder {state}: choose another with --state"
        ) from error
    return lock


def check_log_file(path: Path) -> None:
    """Check that a log file can be written.

    Args:
        path: the file, as an absolute path; it need not exist yet.

    Raises:
        CannotStart: its folder is missing or not writable.
    """
    fault = folder_fault(path.parent) if path.parent.exists() else f"{path.parent} does not exist"
    if path.is_dir():
        fault = "it is a folder"
    if fault:
        raise CannotStart(f"can't write the access log {path}: {fault}")
