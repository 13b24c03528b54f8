"""What one client has said and chosen, for commands to work with."""

from collections.abc import Callable, Iterable
from typing import Protocol

from otaserver.ftp.addresses import FTP_PORT
from otaserver.ftp.data import DataConnection
from otaserver.ftp.errors import Refused
from otaserver.ftp.list_formats import FACTS
from otaserver.ftp.replies import long_reply, reply
from otaserver.ftp.shell import ReadOnlyShell
from otaserver.ftp.state import SiteState
from otaserver.wire.addresses import canonical, url_authority


class Link(Protocol):
    """The connection behind a session.

    Attributes:
        peer_host: the client's address, as the transport has it; empty if it has none.
    """

    peer_host: str

    @property
    def own_host(self) -> str:
        """The address that the client reached; empty if it has none."""

    @property
    def own_port(self) -> int | None:
        """The port that the client reached; None if it has none."""

    def write(self, data: bytes) -> None:
        """Send a reply.

        Args:
            data: the reply, with its line ends.
        """

    def hang_up(self, code: int, text: str) -> None:
        """Send a last reply, and close.

        Args:
            code: see `otaserver.ftp.replies.reply`.
            text: likewise.
        """


class Session:
    """A client's session, from its first command to the end of the connection.

    Args:
        site: what all sessions share.
        link: the connection.

    Attributes:
        site: what all sessions share.
        user_name: the name that USER gave and PASS has not used yet; None for none.
        shell: what the user can do; None until logged in.
        failures: how many log-ins have failed.
        folder: the names along the path from the root to the working directory.
        facts: what MLSD and MLST report.
        offset_bytes: where the next transfer begins.
        is_extended_only: whether EPSV is the only way to a data connection.
        data: the data connection of the next or current transfer; None for none.
    """

    __slots__ = (
        "_is_over",
        "_link",
        "_log_out",
        "data",
        "facts",
        "failures",
        "folder",
        "is_extended_only",
        "offset_bytes",
        "shell",
        "site",
        "user_name",
    )

    def __init__(self, site: SiteState, link: Link) -> None:
        self.site = site
        self._link = link
        self.user_name: str | None = None
        self.shell: ReadOnlyShell | None = None
        self.failures = 0
        self.folder: tuple[str, ...] = ()
        self.facts: tuple[str, ...] = FACTS
        self.offset_bytes = 0
        self.is_extended_only = False
        self.data: DataConnection | None = None
        self._log_out: Callable[[], None] | None = None
        self._is_over = False

    @property
    def peer_host(self) -> str:
        """The client's address, as the transport has it; empty if it has none."""
        return self._link.peer_host

    @property
    def peer_address(self) -> str:
        """The client's address in canonical form, without a zone."""
        return canonical(self._link.peer_host)

    @property
    def local_host(self) -> str:
        """The address that the client reached, with its zone if it has one."""
        host = self._link.own_host
        return host if "%" in host else canonical(host)

    @property
    def base_url(self) -> str:
        """What URLs in manifests begin with."""
        host = self.site.public_host or canonical(self._link.own_host or "localhost")
        return f"ftp://{url_authority(host, self._link.own_port, FTP_PORT)}"

    def reply(self, code: int, text: str) -> None:
        """Send a reply of one line.

        Args:
            code: see `otaserver.ftp.replies.reply`.
            text: likewise.
        """
        self._link.write(reply(code, text))

    def long_reply(self, code: int, first: str, lines: Iterable[str], last: str) -> None:
        """Send a reply of several lines.

        Args:
            code: see `otaserver.ftp.replies.long_reply`.
            first: likewise.
            lines: likewise.
            last: likewise.
        """
        self._link.write(long_reply(code, first, lines, last))

    def hang_up(self, code: int, text: str) -> None:
        """Send a last reply, and close the connection.

        Args:
            code: see `otaserver.ftp.replies.reply`.
            text: likewise.
        """
        self._link.hang_up(code, text)

    def log_in(self, shell: ReadOnlyShell, log_out: Callable[[], None]) -> None:
        """Let a user in.

        Args:
            shell: what the user can do.
            log_out: called at the log-out.
        """
        if self._is_over:
            log_out()
        else:
            self.shell, self._log_out = shell, log_out

    def log_out(self) -> None:
        """Let the user go, if there is one."""
        log_out, self._log_out = self._log_out, None
        self.close_data()
        self.shell = None
        self.folder = ()
        self.offset_bytes = 0
        if log_out is not None:
            log_out()

    def end(self) -> None:
        """End the session, because its connection has ended."""
        self._is_over = True
        self.abort_data("The control connection was lost.")
        self.log_out()

    def absolute(self, path: bytes) -> bytes:
        """Make a path absolute, for the log.

        Args:
            path: as the client sent it.

        Returns:
            The path, prefixed with the working directory unless it is absolute.
        """
        folder = "/".join(("", *self.folder, "")).encode()
        return path if path.startswith(b"/") else folder + path

    def replace_data(self) -> DataConnection:
        """Prepare for a new data connection; there is never more than one.

        Returns:
            The new one, which waits to be opened.
        """
        self.close_data()
        self.data = DataConnection(self.site.now_s + self.site.timeouts.data_s)
        return self.data

    def close_data(self) -> None:
        """Close the data connection and its port, if there is one."""
        data, self.data = self.data, None
        if data is not None:
            data.close()

    def abort_data(self, why: str) -> None:
        """Cut the data connection, if there is one.

        Args:
            why: what the command that uses it reports.
        """
        if self.data is not None:
            self.data.abort(Refused(426, why))
