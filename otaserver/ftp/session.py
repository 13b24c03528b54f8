"""What one client has said and chosen, for commands to work with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
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
        site: what all connections of the site share.
    """

    site: SiteState

    @property
    def is_closing(self) -> bool:
        """Whether the last reply has been sent, or the connection is lost."""

    @property
    def peer_host(self) -> str:
        """The client's address, as the transport has it; empty if it has none."""

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

    def write_large(self, data: bytes) -> None:
        """Send a reply of any size, and count it until it has been read.

        Args:
            data: the reply, with its line ends.

        Raises:
            TooMuchUnread: too many large answers are waiting to be read.
        """

    def hang_up(self, code: int, text: str) -> None:
        """Send a last reply, and close.

        Args:
            code: see `otaserver.ftp.replies.reply`.
            text: likewise.
        """


@dataclass(frozen=True, slots=True)
class Choices:
    """What a client has told this server, and few clients ever do for long.

    Attributes:
        user_name: the name that USER gave and PASS has not used yet; None for none.
        failures: how many log-ins have failed.
        facts: what MLSD and MLST report.
        offset_bytes: where the next transfer begins.
        is_extended_only: whether EPSV is the only way to a data connection.
    """

    user_name: str | None = None
    failures: int = 0
    facts: tuple[str, ...] = FACTS
    offset_bytes: int = 0
    is_extended_only: bool = False


# Thousands of idle sessions share this one.
_NO_CHOICES = Choices()


class Session:
    """A client's session, from its first command to the end of the connection.

    Args:
        link: the connection.

    Attributes:
        shell: what the user can do; None until logged in.
        folder: the names along the path from the root to the working directory.
        data: the data connection of the next or current transfer; None for none.
    """

    __slots__ = ("_choices", "_link", "_log_out", "data", "folder", "shell")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._choices = _NO_CHOICES
        self._log_out: Callable[[], None] | None = None
        self.shell: ReadOnlyShell | None = None
        self.folder: tuple[str, ...] = ()
        self.data: DataConnection | None = None

    @property
    def site(self) -> SiteState:
        """What all sessions share."""
        return self._link.site

    @property
    def choices(self) -> Choices:
        """What the client has chosen; to change it, assign a copy made by `replace`."""
        return self._choices

    @choices.setter
    def choices(self, choices: Choices) -> None:
        self._choices = _NO_CHOICES if choices == _NO_CHOICES else choices

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

    def large_reply(self, encoded: bytes) -> None:
        """Send a reply of any size.

        Args:
            encoded: the reply, as `otaserver.ftp.replies` encodes it.

        Raises:
            TooMuchUnread: too many large answers are waiting to be read.
        """
        self._link.write_large(encoded)

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
        if self._link.is_closing:
            log_out()
        else:
            self.shell, self._log_out = shell, log_out

    def log_out(self) -> None:
        """Let the user go, if there is one."""
        log_out, self._log_out = self._log_out, None
        self.close_data()
        self.shell = None
        self.folder = ()
        self.choices = replace(self.choices, offset_bytes=0)
        if log_out is not None:
            log_out()

    def end(self) -> None:
        """End the session, because its connection has ended."""
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
        until_s = self.site.now_s + self.site.timeouts.data_s
        self.data = DataConnection(until_s, self.peer_address)
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
