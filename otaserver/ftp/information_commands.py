"""Commands answered over the control connection (RFC 959, RFC 2389 and RFC 3659).

See `otaserver.ftp.commands` for the arguments of a command, its result and its errors.
"""

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from otaserver.catalogue.model import Folder
from otaserver.ftp.command_line import text_of
from otaserver.ftp.errors import Refused
from otaserver.ftp.list_formats import (
    FACTS,
    facts_of,
    manifest_mtime_s,
    reply_form,
    time_value,
    wanted_facts,
)
from otaserver.ftp.path_argument import resolve, without_options
from otaserver.ftp.patterns import Matches
from otaserver.ftp.replies import enclosed, quoted_path
from otaserver.ftp.session import Session
from otaserver.ftp.shell import ReadOnlyShell
from otaserver.service import Found, ManifestRequest


async def size(session: Session, argument: bytes) -> None:
    """SIZE: report how many bytes RETR would send, whatever the TYPE (RFC 3659, section 4)."""
    shell, found = _find(session, argument)
    session.reply(213, str(await shell.size_bytes(found, session.base_url)))


def modification_time(session: Session, argument: bytes) -> None:
    """MDTM: report a modification time (RFC 3659, section 3)."""
    _, found = _find(session, argument)
    if isinstance(found, ManifestRequest):
        session.reply(213, time_value(manifest_mtime_s(found.folder)))
    else:
        session.reply(213, time_value(found.mtime_s))


async def facts(session: Session, argument: bytes) -> None:
    """MLST: report the facts of one file or folder (RFC 3659, section 7)."""
    shell, found = _find(session, argument)
    entry = await shell.entry(found, session.base_url)
    path = "/" + "/".join(resolve(session.folder, argument).path.names)
    line = f"{facts_of(entry, session.choices.facts)} {path}"
    session.long_reply(250, "The facts are:", [line], "End of the facts.")


def working_folder(session: Session, argument: bytes) -> None:
    """PWD: report the working directory."""
    session.reply(257, quoted_path(session.folder))


def status(session: Session, argument: bytes) -> "Coroutine[Any, Any, None] | None":
    """STAT: report the session's status, or list a path over the control connection."""
    if argument:
        return _list_as_reply(session, without_options(argument))
    lines = [f"You are connected from {session.peer_host or 'this machine'}, and logged in."]
    if session.data is not None:
        lines.append(f"A data connection is open; {session.data.sent_bytes} bytes have arrived.")
    session.long_reply(211, "The status is:", lines, "End of the status.")
    return None


async def _list_as_reply(session: Session, path: bytes) -> None:
    assert session.shell is not None
    shell = session.shell
    found = shell.find_listed(*resolve(session.folder, path))
    form = reply_form(session.site.listener.wall_s())
    listing = await shell.listing(found, session.base_url, form)
    code = 212 if isinstance(found, Folder | Matches) else 213
    session.large_reply(enclosed(code, "The listing is:", listing, "End of the listing."))


def system(session: Session, argument: bytes) -> None:
    """SYST: report which system's format LIST uses."""
    session.reply(215, "UNIX Type: L8")


def features(session: Session, argument: bytes) -> None:
    """FEAT: list the extensions to RFC 959 (RFC 2389, section 3)."""
    told_facts = "".join(f"{fact}{'*' * (fact in session.choices.facts)};" for fact in FACTS)
    lines = ["EPRT", "EPSV", "MDTM", f"MLST {told_facts}", "REST STREAM", "SIZE", "TVFS", "UTF8"]
    session.long_reply(211, "The extensions are:", lines, "End of the list.")


def options(session: Session, argument: bytes) -> None:
    """OPTS: choose the facts to report; names are always in UTF-8 (RFC 2389, RFC 2640)."""
    verb, _, rest = text_of(argument).partition(" ")
    if verb.upper() == "MLST":
        wanted = wanted_facts(rest)
        session.choices = replace(session.choices, facts=wanted)
        session.reply(200, f"MLST OPTS {''.join(f'{fact};' for fact in wanted)}".rstrip())
    elif verb.upper() == "UTF8" and rest.upper() in ("", "ON"):
        session.reply(200, "Names are in UTF-8.")
    else:
        raise Refused(501, "Only OPTS UTF8 ON and OPTS MLST are supported.")


def nothing(session: Session, argument: bytes) -> None:
    """NOOP: show that the server is responding."""
    session.reply(200, "Yes.")


def _find(session: Session, argument: bytes) -> tuple[ReadOnlyShell, Found]:
    assert session.shell is not None
    return session.shell, session.shell.find(*resolve(session.folder, argument))
