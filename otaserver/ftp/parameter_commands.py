"""Commands that set up the next transfer (RFC 959, section 4.1.2; RFC 2428).

See `otaserver.ftp.commands` for the arguments of a command, its result and its errors.
"""

from otaserver.ftp.addresses import (
    Address,
    checked_target,
    extended_passive_text,
    parse_extended,
    parse_host_port,
    passive_text,
)
from otaserver.ftp.command_line import text_of
from otaserver.ftp.errors import Refused
from otaserver.ftp.session import Session
from otaserver.wire.addresses import is_ipv6

_TYPES = frozenset({"A", "A N", "I", "L 8"})


def type_(session: Session, argument: bytes) -> None:
    """TYPE: accept the usual types.

    Files are sent unchanged in all of them: a device that forgets to ask for the
    image type must not get firmware with its line endings converted.
    """
    _choose(session, argument, _TYPES, "The type is set.")


def mode(session: Session, argument: bytes) -> None:
    """MODE: accept stream mode, the only one."""
    _choose(session, argument, frozenset({"S"}), "The mode is stream.")


def structure(session: Session, argument: bytes) -> None:
    """STRU: accept file structure, the only one."""
    _choose(session, argument, frozenset({"F"}), "The structure is file.")


def _choose(session: Session, argument: bytes, choices: frozenset[str], text: str) -> None:
    if text_of(argument).upper() not in choices:
        raise Refused(504, f"The argument must be {' or '.join(sorted(choices))}.")
    session.reply(200, text)


def port(session: Session, argument: bytes) -> None:
    """PORT: connect to the client for the next transfer."""
    _go_to(session, parse_host_port(text_of(argument)))


def extended_port(session: Session, argument: bytes) -> None:
    """EPRT: like PORT, for IPv4 and IPv6 (RFC 2428, section 2)."""
    _go_to(session, parse_extended(text_of(argument)))


def _go_to(session: Session, address: Address) -> None:
    _check_not_extended_only(session)
    target = checked_target(address, session.peer_address)
    if "%" in session.peer_host:
        # A link-local address is useless without its zone.
        target = Address(session.peer_host, target.port)
    network, data_s = session.site.network, session.site.timeouts.data_s
    data = session.replace_data()
    data.connect_later(lambda: network.connect(target, session.local_host, data_s, data))
    session.reply(200, "The data connection will be made to that port.")


def passive(session: Session, argument: bytes) -> None:
    """PASV: enter passive mode at an IPv4 address."""
    _check_not_extended_only(session)
    public_host = session.site.public_host
    host = session.local_host if is_ipv6(public_host) else public_host or session.local_host
    if is_ipv6(session.local_host) or is_ipv6(host):
        raise Refused(425, "PASV is for IPv4; use EPSV.")
    number = _open_port(session)
    session.reply(227, passive_text(host, number))


def extended_passive(session: Session, argument: bytes) -> None:
    """EPSV: enter passive mode at the address that the client reached (RFC 2428, section 3)."""
    own_family = "2" if is_ipv6(session.local_host) else "1"
    asked = text_of(argument).upper()
    if asked == "ALL":
        session.is_extended_only = True
        session.reply(200, "Only EPSV is accepted from now on.")
        return
    if asked not in ("", own_family):
        raise Refused(
            522, f"Only the network protocol {own_family} is supported here; use ({own_family})."
        )
    session.reply(229, extended_passive_text(_open_port(session)))


def _open_port(session: Session) -> int:
    if not session.local_host:
        raise Refused(425, "This connection has no IP address for a data port.")
    data = session.replace_data()
    try:
        return data.wait_at(session.site.network, session.local_host, session.peer_address)
    except OSError as error:
        session.close_data()
        raise Refused(425, "No port can be opened at the moment; try again.") from error


def _check_not_extended_only(session: Session) -> None:
    if session.is_extended_only:
        raise Refused(503, "After EPSV ALL, only EPSV is accepted.")
