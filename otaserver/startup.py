"""Starting the server, and reporting in one line why it can't start."""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from twisted.application.service import MultiService
from twisted.internet.error import CannotListenError

from otaserver.catalogue.presence import means_away
from otaserver.errors import OTAServerError
from otaserver.trial import folder_fault, is_read_only

_LOCK_NAME = "lock"
_READ_WRITE = os.R_OK | os.W_OK

# What a worn or full card says. The server runs without its state then; whoever looks after
# a vehicle's server is not there to mend it.
_FAULTS_OF_DISKS = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)

# A longer value is cut in sentences, which stay readable.
_MAX_QUOTED = 200


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
        is_awaited: whether the release tree may be missing.
    """

    def __init__(self, root: Path, state: Path, is_awaited: bool = False) -> None:
        super().__init__()
        self._is_awaited = is_awaited
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
            check_root(self._root, self._is_awaited)
            # Not earlier either: the folder has to belong to the server's own user. The
            # kernel releases the lock when the process ends, however that happens.
            self._lock = lock_state(self._state)
            super().startService()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (OTAServerError, CannotListenError, OSError, OverflowError) as error:
        # By now twistd has redirected sys.stderr to its log.
        print(f"otaserver: {error}", file=sys.__stderr__)
        raise CannotStart(str(error)) from error


def quoted(value: str | Path) -> str:
    """Quote what the user wrote, for a sentence.

    Args:
        value: the value of an option.

    Returns:
        The value between quotes, on one line whatever is in it, and cut if it is long.
    """
    text = str(value)
    # Backslashes are left alone, which endpoints need: the user is to recognize the value.
    text = f"'{text}'" if text.isprintable() else repr(text)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


def check_root(root: Path, is_awaited: bool = False) -> None:
    """Check that the release tree can be read.

    Args:
        root: the release tree's folder.
        is_awaited: whether it may be missing.

    Raises:
        CannotStart: it can't be read.
    """
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        if is_awaited and means_away(error):
            return
        raise CannotStart(
            f"can't read the release tree at --root {quoted(root)}: {error.strerror}"
        ) from error


def check_outside(root: Path, option: str, path: Path, what: str) -> None:
    """Check that a path is not below the release tree, where it would be served.

    Args:
        root: the release tree's folder.
        option: the option that the path was given with.
        path: the path; links in it are followed.
        what: what is there, for the sentence.

    Raises:
        CannotStart: it is the release tree's folder, or in it.
    """
    if path.resolve().is_relative_to(root.resolve()):
        raise CannotStart(
            f"{option}: {what} {quoted(path)} is inside the release tree {quoted(root)}, "
            "which is served to everybody: choose a place outside it"
        )


def check_state(state: Path) -> None:
    """Check that there can be a state folder.

    Args:
        state: the folder, as an absolute path; it need not exist yet.

    Raises:
        CannotStart: the user may not write to it, or to something that is in it already. A
            read-only disk is not an error.
    """
    if is_read_only(state):
        return
    fault = folder_fault(state)
    if not fault and state.is_dir():
        files = [state / _LOCK_NAME, *state.glob("*.sqlite3")]
        closed = [path for path in files if path.exists() and not os.access(path, _READ_WRITE)]
        fault = f"{quoted(closed[0])} is not writable" if closed else ""
    if fault:
        raise CannotStart(f"can't keep state at --state {quoted(state)}: {fault}")


def check_state_is_free(state: Path) -> None:
    """Check that no other server uses a state folder, and create nothing in it.

    Args:
        state: the folder, as an absolute path; it need not exist yet.

    Raises:
        CannotStart: another server uses it.
    """
    if (state / _LOCK_NAME).exists():
        lock = lock_state(state)
        if lock is not None:
            lock.close()


def lock_state(state: Path) -> IO[bytes] | None:
    """Take hold of a state folder, so that no second server uses it.

    Args:
        state: the folder, which is created if it is missing.

    Returns:
        The lock's file; the folder is free again once it is closed. None if the disk is
        full or read-only, so that nobody can keep state there.

    Raises:
        CannotStart: another server holds it, or the user may not write to it.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not emptied yet: if it is held, it has the process that holds it.
        lock = (state / _LOCK_NAME).open("a+b")
    except OSError as error:
        if error.errno in _FAULTS_OF_DISKS:
            return None
        raise CannotStart(
            f"can't keep state at --state {quoted(state)}: {error.strerror}"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with lock:
            raise CannotStart(_why_not_locked(state, lock, error)) from error
    # Who holds it is only good to know.
    with suppress(OSError):
        lock.truncate(0)
        os.write(lock.fileno(), b"%d\n" % os.getpid())
    return lock


def _why_not_locked(state: Path, lock: IO[bytes], error: OSError) -> str:
    if not isinstance(error, BlockingIOError):
        return f"can't lock the folder at --state {quoted(state)}: {error.strerror}"
    lock.seek(0)
    process = lock.readline(20).strip()
    who = f"another server (process {int(process)})" if process.isdigit() else "another server"
    return f"{who} uses the state folder {quoted(state)}: choose another with --state"


def check_log_file(path: Path) -> None:
    """Check that a log file can be written.

    Args:
        path: the file, as an absolute path; it need not exist yet.

    Raises:
        CannotStart: its folder is missing, or one of them is not writable.
    """
    if os.path.exists(path):
        fault = "" if os.access(path, os.W_OK) else "it is not writable"
        fault = "it is a folder" if path.is_dir() else fault
    elif os.path.exists(path.parent):
        fault = folder_fault(path.parent)
    else:
        fault = f"{quoted(path.parent)} does not exist"
    if fault:
        raise CannotStart(f"can't write the access log at --access-log {quoted(path)}: {fault}")
