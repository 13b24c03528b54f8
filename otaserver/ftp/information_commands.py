"""Commands that are answered over the session connection (RFC 959, 2389 and 3659)."""

from collections.abc import Coroutine
from typing import Any

from otaserver.catalogue.model import Folder
from otaserver.ftp.command_line import text_of
from otaserver.ftp.errors import Refused
from otaserver.ftp.list_formats import (
    FACTS,
    facts_of,
    manifest_mtime_s,
    time_value,
    unix_form,
    wanted_facts,
)
from otaserver.ftp.path_argument import resolve, without_options
from otaserver.ftp.replies import quoted_path
from otaserver.ftp.session import Session
from otaserver.ftp.shell import ReadOnlyShell
from otaserver.service import Found, ManifestRequest


async def size(session: Session, argument: bytes) -> None:
    """SIZE: how many bytes RETR would send, in any type (RFC 3659, section 4)."""
    shell, found = _find(session, argument)
    session.reply(213, str(await shell.size_bytes(found, session.base_url)))


def modification_time(session: Session, argument: bytes) -> None:
    """MDTM: when something changed (RFC 3659, section 3)."""
    _, found = _find(session, argument)
    if isinstance(found, ManifestRequest):
        session.reply(213, time_value(manifest_mtime_s(found.folder)))
    else:
        session.reply(213, time_value(found.mtime_s))


async def facts(session: Session, argument: bytes) -> None:
    """MLST: the facts of one file or folder (RFC 3659, section 7)."""
    shell, found = _find(session, argument)
    entry = await shell.entry(found, session.base_url)
    path = "/" + "/".join(resolve(session.folder, argument).path.names)
    line = f"{facts_of(entry, session.facts)} {path}"
    session.long_reply(250, "What is known:", [line], "That is all.")


def working_folder(session: Session, argument: bytes) -> None:
    """PWD: where the client is."""
    session.reply(257, quoted_path(session.folder))


def status(session: Session, argument: bytes) -> "Coroutine[Any, Any, None] | None":
    """STAT: how things are, or a listing over the session connection."""
    if argument:
        return _list_as_reply(session, without_options(argument))
    lines = [f"You come from {session.peer_host or 'this machine'}, and are logged in."]
    if session.data is not None:
        lines.append(f"A data connection is open; {session.data.sent_bytes} bytes have arrived.")
    session.long_reply(211, "How things are:", lines, "That is all.")
    return None


async def _list_as_reply(session: Session, path: bytes) -> None:
    shell, found = _find(session, path)
    form = unix_form(session.site.now_s)
    listing = await shell.listing(found, session.base_url, form)
    code = 212 if isinstance(found, Folder) else 213
    session.long_reply(code, "What is there:", _lines(listing), "That is all.")


def _lines(listing: bytes) -> list[str]:
    # Names may have in them what Python, but nothing in FTP, takes for line ends.
    return listing.decode().removesuffix("\r\n").split("\r\n") if listing else []


def system(session: Session, argument: bytes) -> None:
    """SYST: what LIST looks like."""
    session.reply(215, "UNIX Type: L8")


def features(session: Session, argument: bytes) -> None:
    """FEAT: what there is beyond RFC 959 (RFC 2389, section 3)."""
    told_facts = "".join(f"{fact}{'*' * (fact in session.facts)};" for fact in FACTS)
    lines = ["EPRT", "EPSV", "MDTM", f"MLST {told_facts}", "REST STREAM", "SIZE", "TVFS", "UTF8"]
    session.long_reply(211, "There is:", lines, "That is all.")


def options(session: Session, argument: bytes) -> None:
    """OPTS: which facts to tell; names are in UTF-8 in any case (RFC 2389, 2640)."""
    verb, _, rest = text_of(argument).partition(" ")
    if verb.upper() == "MLST":
        session.facts = wanted_facts(rest)
        session.reply(200, f"MLST OPTS {''.join(f'{fact};' for fact in session.facts)}".rstrip())
    elif verb.upper() == "UTF8" and rest.upper() in ("", "ON"):
        session.reply(200, "Names are in UTF-8.")
    else:
        raise Refused(501, "There is OPTS UTF8 ON, and OPTS MLST.")


def nothing(session: Session, argument: bytes) -> None:
    """NOOP: show that somebody is there."""
    session.reply(200, "Yes.")


def _find(session: Session, argument: bytes) -> tuple[ReadOnlyShell, Found]:
    assert session.shell is not None
    return session.shell, session.shell.find(*resolve(session.folder, argument))
