"""Commands that say who is there, and where (RFC 959, section 4.1.1)."""

from typing import TYPE_CHECKING, cast

from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.internet.task import deferLater

from otaserver.ftp.command_line import text_of
from otaserver.ftp.errors import Refused
from otaserver.ftp.login import credentials_of, is_anonymous
from otaserver.ftp.paths import Location, resolve
from otaserver.ftp.shell import IShell

if TYPE_CHECKING:
    from otaserver.ftp.control import ControlConnection
    from otaserver.ftp.shell import ReadOnlyShell

MAX_NAME_LENGTH = 255


def user(control: "ControlConnection", argument: bytes) -> None:
    """USER: begin to log in, as somebody else if need be."""
    name = text_of(argument)
    if len(name) > MAX_NAME_LENGTH:
        raise Refused(501, f"A name is of {MAX_NAME_LENGTH} characters at most.")
    control.log_out()
    control.user_name = name
    if is_anonymous(name):
        control.reply(331, "Send your e-mail address, or anything, as the password.")
    else:
        control.reply(331, "Send the password.")


async def password(control: "ControlConnection", argument: bytes) -> None:
    """PASS: log in; a wrong answer takes its time."""
    name, control.user_name = control.user_name, None
    if name is None:
        raise Refused(503, "Send USER first.")
    portal = control.factory.portal
    try:
        credentials = credentials_of(name, argument)
        _, avatar, log_out = await portal.login(credentials, None, IShell)
    except (LoginFailed, UnhandledCredentials):
        await _refuse_login(control)
        return
    control.log_in(cast("ReadOnlyShell", avatar), log_out)
    control.reply(230, "You are logged in.")


async def _refuse_login(control: "ControlConnection") -> None:
    policy = control.factory.login_policy
    control.failures += 1
    await deferLater(control.factory.clock, policy.delay_s)
    if policy.is_last(control.failures):
        control.hang_up(421, "That was one failed log-in too many; good-bye.")
    else:
        control.reply(530, "The log-in failed. Log in as anonymous.")


def account(control: "ControlConnection", argument: bytes) -> None:
    """ACCT: nobody needs one."""
    control.reply(202, "No account is needed.")


def quit(control: "ControlConnection", argument: bytes) -> None:
    """QUIT: good-bye; it waits for a transfer that goes on."""
    control.hang_up(221, "Good-bye.")


def change_folder(control: "ControlConnection", argument: bytes) -> None:
    """CWD: go to another folder."""
    _enter(control, resolve(control.folder, argument))


def go_up(control: "ControlConnection", argument: bytes) -> None:
    """CDUP: go to the folder above; above the root is the root."""
    _enter(control, Location(control.folder[:-1], True, b""))


def _enter(control: "ControlConnection", location: Location) -> None:
    assert control.shell is not None
    control.shell.folder(location)
    control.folder = location.names
    control.reply(250, "You are there.")


def storing(control: "ControlConnection", argument: bytes) -> None:
    """STOR and its like: what takes an account that nobody has."""
    raise Refused(532, "This site is read-only.")


def changing(control: "ControlConnection", argument: bytes) -> None:
    """DELE and its like: what nobody may do."""
    raise Refused(550, "This site is read-only.")


def not_implemented(control: "ControlConnection", argument: bytes) -> None:
    """AUTH and others: commands of the standards that this site does not have."""
    raise Refused(502, "This command is not implemented.")
