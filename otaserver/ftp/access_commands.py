"""Commands that say who is there, and where (RFC 959, section 4.1.1)."""

from typing import cast

from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.internet.task import deferLater

from otaserver.catalogue.paths import TreePath
from otaserver.ftp.command_line import text_of
from otaserver.ftp.errors import Refused
from otaserver.ftp.login import credentials_of, is_anonymous
from otaserver.ftp.path_argument import Location, resolve
from otaserver.ftp.session import Session
from otaserver.ftp.shell import IShell, ReadOnlyShell

MAX_NAME_LENGTH = 255


def user(session: Session, argument: bytes) -> None:
    """USER: begin to log in, as somebody else if need be."""
    name = text_of(argument)
    if len(name) > MAX_NAME_LENGTH:
        raise Refused(501, f"A name is of {MAX_NAME_LENGTH} characters at most.")
    session.log_out()
    session.user_name = name
    if is_anonymous(name):
        session.reply(331, "Send your e-mail address, or anything, as the password.")
    else:
        session.reply(331, "Send the password.")


async def password(session: Session, argument: bytes) -> None:
    """PASS: log in; a wrong answer takes its time."""
    name, session.user_name = session.user_name, None
    if name is None:
        raise Refused(503, "Send USER first.")
    portal = session.site.portal
    try:
        credentials = credentials_of(name, argument)
        _, avatar, log_out = await portal.login(credentials, None, IShell)
    except (LoginFailed, UnhandledCredentials):
        await _refuse_login(session)
        return
    session.log_in(cast(ReadOnlyShell, avatar), log_out)
    session.reply(230, "You are logged in.")


async def _refuse_login(session: Session) -> None:
    policy = session.site.login_policy
    session.failures += 1
    await deferLater(session.site.listener.clock, policy.delay_s)
    if policy.is_last(session.failures):
        session.hang_up(421, "That was one failed log-in too many; good-bye.")
    else:
        session.reply(530, "The log-in failed. Log in as anonymous.")


def account(session: Session, argument: bytes) -> None:
    """ACCT: nobody needs one."""
    session.reply(202, "No account is needed.")


def quit(session: Session, argument: bytes) -> None:
    """QUIT: good-bye; it waits for a transfer that goes on."""
    session.hang_up(221, "Good-bye.")


def change_folder(session: Session, argument: bytes) -> None:
    """CWD: go to another folder."""
    _enter(session, resolve(session.folder, argument))


def go_up(session: Session, argument: bytes) -> None:
    """CDUP: go to the folder above; above the root is the root."""
    _enter(session, Location(TreePath(session.folder[:-1], True)))


def _enter(session: Session, location: Location) -> None:
    assert session.shell is not None
    session.shell.folder(location.path)
    session.folder = location.path.names
    session.reply(250, "You are there.")


def storing(session: Session, argument: bytes) -> None:
    """STOR and its like: what takes an account that nobody has."""
    raise Refused(532, "This site is read-only.")


def changing(session: Session, argument: bytes) -> None:
    """DELE and its like: what nobody may do."""
    raise Refused(550, "This site is read-only.")


def not_implemented(session: Session, argument: bytes) -> None:
    """AUTH and others: commands of the standards that this site does not have."""
    raise Refused(502, "This command is not implemented.")
