"""Log-in and navigation commands (RFC 959, section 4.1.1).

See `otaserver.ftp.commands` for the arguments of a command, its result and its errors.
"""

from dataclasses import replace
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
    """USER: start a log-in; a user who is logged in is logged out first."""
    name = text_of(argument)
    if len(name) > MAX_NAME_LENGTH:
        raise Refused(501, f"The user name is longer than {MAX_NAME_LENGTH} characters.")
    session.log_out()
    session.choices = replace(session.choices, user_name=name)
    if is_anonymous(name):
        session.reply(331, "Send your e-mail address, or anything else, as the password.")
    else:
        session.reply(331, "Send the password.")


async def password(session: Session, argument: bytes) -> None:
    """PASS: finish the log-in; a failed one is answered with a delay."""
    name = session.choices.user_name
    session.choices = replace(session.choices, user_name=None)
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
    failures = session.choices.failures + 1
    session.choices = replace(session.choices, failures=failures)
    await deferLater(session.site.listener.clock, policy.delay_s)
    if policy.is_last(failures):
        session.hang_up(421, "Too many failed log-ins; good-bye.")
    else:
        session.reply(530, "The log-in failed. Log in as anonymous.")


def account(session: Session, argument: bytes) -> None:
    """ACCT: accepted, but not needed."""
    session.reply(202, "No account is needed.")


def quit(session: Session, argument: bytes) -> None:
    """QUIT: close the connection, once a transfer in progress has ended."""
    session.hang_up(221, "Good-bye.")


def change_folder(session: Session, argument: bytes) -> None:
    """CWD: change the working directory."""
    _enter(session, resolve(session.folder, argument))


def go_up(session: Session, argument: bytes) -> None:
    """CDUP: change to the parent directory; the root is its own parent."""
    _enter(session, Location(TreePath(session.folder[:-1], True)))


def _enter(session: Session, location: Location) -> None:
    assert session.shell is not None
    session.shell.folder(location.path)
    session.folder = location.path.names
    session.reply(250, "The working directory has changed.")


def storing(session: Session, argument: bytes) -> None:
    """STOR and other commands that store files: refused, because the site is read-only."""
    raise Refused(532, "This site is read-only.")


def changing(session: Session, argument: bytes) -> None:
    """DELE and other commands that change files: refused, because the site is read-only."""
    raise Refused(550, "This site is read-only.")


def not_implemented(session: Session, argument: bytes) -> None:
    """AUTH and other standard commands that this server does not implement."""
    raise Refused(502, "This command is not implemented.")
