"""The table of commands: their names, who may use them, and the functions behind them.

Every command is a function of type `Obey`, which takes two arguments:

Args:
    session: the client's session, which replies go through.
    argument: the bytes that follow the command's name and one space; empty if there
        are none. `Command.check` has already decided whether there may be any.

Returns:
    None once the command has been replied to; a coroutine if it takes time. Until
    the coroutine ends, the next command waits.

Raises:
    OTAServerError: the command fails; `otaserver.ftp.errors.code_and_text` finds
        the reply for it.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from otaserver.ftp import access_commands as access
from otaserver.ftp import information_commands as information
from otaserver.ftp import parameter_commands as parameters
from otaserver.ftp import transfer_commands as transfers
from otaserver.ftp.errors import Refused
from otaserver.ftp.session import Session

# The function behind a command; see the module's docstring.
Obey = Callable[[Session, bytes], "Coroutine[Any, Any, None] | None"]


class Argument(Enum):
    """Whether a command takes an argument."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table.

    Attributes:
        obey: carries out the command.
        argument: whether the command takes an argument.
        needs_login: whether the client must be logged in.
    """

    obey: Obey
    argument: Argument
    needs_login: bool

    def check(self, argument: bytes, is_logged_in: bool) -> None:
        """Check that a client may use the command, with this argument or without one.

        Args:
            argument: the argument as sent; empty if there is none.
            is_logged_in: whether the client is logged in.

        Raises:
            Refused: the client must log in first (530), or the argument is missing or
                unexpected (501).
        """
        if self.needs_login and not is_logged_in:
            raise Refused(530, "Log in first.")
        if self.argument is Argument.REQUIRED and not argument:
            raise Refused(501, "The command needs an argument.")
        if self.argument is Argument.NONE and argument:
            raise Refused(501, "The command takes no argument.")


def _anybody(obey: Obey, argument: Argument) -> Command:
    return Command(obey, argument, needs_login=False)


def _user(obey: Obey, argument: Argument) -> Command:
    return Command(obey, argument, needs_login=True)


def _help(session: Session, argument: bytes) -> None:
    """HELP: list the commands."""
    verbs = sorted(COMMANDS)
    lines = [" ".join(verbs[start : start + 10]) for start in range(0, len(verbs), 10)]
    session.long_reply(214, "The commands are:", lines, "End of the list.")


_NONE, _OPTIONAL, _REQUIRED = Argument

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        # RFC 959, section 4.1.1: access session.
        "USER": _anybody(access.user, _REQUIRED),
        "PASS": _anybody(access.password, _OPTIONAL),
        "ACCT": _anybody(access.account, _REQUIRED),
        "QUIT": _anybody(access.quit, _NONE),
        "CWD": _user(access.change_folder, _REQUIRED),
        "XCWD": _user(access.change_folder, _REQUIRED),
        "CDUP": _user(access.go_up, _NONE),
        "XCUP": _user(access.go_up, _NONE),
        # RFC 959, section 4.1.2, and RFC 2428: transfer parameters.
        "TYPE": _user(parameters.type_, _REQUIRED),
        "MODE": _user(parameters.mode, _REQUIRED),
        "STRU": _user(parameters.structure, _REQUIRED),
        "PORT": _user(parameters.port, _REQUIRED),
        "PASV": _user(parameters.passive, _NONE),
        "EPRT": _user(parameters.extended_port, _REQUIRED),
        "EPSV": _user(parameters.extended_passive, _OPTIONAL),
        # RFC 959, section 4.1.3, and RFC 3659: transfers.
        "REST": _user(transfers.restart, _REQUIRED),
        "RETR": _user(transfers.retrieve, _REQUIRED),
        "LIST": _user(transfers.list_, _OPTIONAL),
        "NLST": _user(transfers.list_names, _OPTIONAL),
        "MLSD": _user(transfers.list_facts, _OPTIONAL),
        "ABOR": _user(transfers.abort, _NONE),
        "ALLO": _user(transfers.allocate, _REQUIRED),
        # RFC 959, RFC 2389 and RFC 3659: information.
        "MLST": _user(information.facts, _OPTIONAL),
        "SIZE": _user(information.size, _REQUIRED),
        "MDTM": _user(information.modification_time, _REQUIRED),
        "PWD": _user(information.working_folder, _NONE),
        "XPWD": _user(information.working_folder, _NONE),
        "STAT": _user(information.status, _OPTIONAL),
        "SYST": _anybody(information.system, _NONE),
        "FEAT": _anybody(information.features, _NONE),
        "OPTS": _anybody(information.options, _REQUIRED),
        "HELP": _anybody(_help, _OPTIONAL),
        "NOOP": _anybody(information.nothing, _NONE),
        # The site is read-only. RFC 959, section 5.4, assigns 532 to commands that
        # store files, and 550 to the others.
        **{verb: _user(access.storing, _OPTIONAL) for verb in ("STOR", "STOU", "APPE", "RNTO")},
        **{
            verb: _user(access.changing, _OPTIONAL)
            for verb in ("DELE", "RNFR", "MKD", "XMKD", "RMD", "XRMD", "MFMT", "MFCT", "MFF")
        },
        # RFC 4217, which clients try if they prefer TLS; RFC 959, sections 4.1.1 and 4.1.3.
        **{
            verb: _anybody(access.not_implemented, _OPTIONAL)
            for verb in ("AUTH", "PBSZ", "PROT", "CCC", "REIN", "SMNT", "SITE")
        },
    }
)
