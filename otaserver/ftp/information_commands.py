"""Commands that are answered over the control connection (RFC 959, 2389 and 3659)."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from otaserver.catalogue import Folder
from otaserver.ftp.command_line import text_of
from otaserver.ftp.errors import Refused
from otaserver.ftp.listing import (
    FACTS,
    facts_of,
    manifest_mtime_s,
    time_value,
    unix_form,
    wanted_facts,
)
from otaserver.ftp.paths import resolve, without_options
from otaserver.ftp.replies import quoted_path
from otaserver.ftp.shell import Found, ReadOnlyShell
from otaserver.lookup import ManifestQuestion

if TYPE_CHECKING:
    from otaserver.ftp.control import ControlConnection


async def size(control: "ControlConnection", argument: bytes) -> None:
    """SIZE: how many bytes RETR would send, in any type (RFC 3659, section 4)."""
    shell, found = _find(control, argument)
    control.reply(213, str(await shell.size_bytes(found, control.base_url)))


def modification_time(control: "ControlConnection", argument: bytes) -> None:
    """MDTM: when something changed (RFC 3659, section 3)."""
    _, found = _find(control, argument)
    if isinstance(found, ManifestQuestion):
        control.reply(213, time_value(manifest_mtime_s(found.folder)))
    else:
        control.reply(213, time_value(found.mtime_s))


async def facts(control: "ControlConnection", argument: bytes) -> None:
    """MLST: the facts of one file or folder (RFC 3659, section 7)."""
    shell, found = _find(control, argument)
    entry = await shell.entry(found, control.base_url)
    path = "/" + "/".join(resolve(control.folder, argument).names)
    line = f"{facts_of(entry, control.facts)} {path}"
    control.long_reply(250, "What is known:", [line], "That is all.")


def working_folder(control: "ControlConnection", argument: bytes) -> None:
    """PWD: where the client is."""
    control.reply(257, quoted_path(control.folder))


def status(control: "ControlConnection", argument: bytes) -> "Coroutine[Any, Any, None] | None":
    """STAT: how things are, or a listing over the control connection."""
    if argument:
        return _list_as_reply(control, without_options(argument))
    lines = [f"You come from {control.peer_host or 'this machine'}, and are logged in."]
    if control.data is not None:
        lines.append(f"A data connection is open; {control.data.sent_bytes} bytes have arrived.")
    control.long_reply(211, "How things are:", lines, "That is all.")
    return None


async def _list_as_reply(control: "ControlConnection", path: bytes) -> None:
    shell, found = _find(control, path)
    form = unix_form(control.factory.now_s)
    listing = await shell.listing(found, control.base_url, form)
    code = 212 if isinstance(found, Folder) else 213
    control.long_reply(code, "What is there:", _lines(listing), "That is all.")


def _lines(listing: bytes) -> list[str]:
    # Names may have in them what Python, but nothing in FTP, takes for line ends.
    return listing.decode().removesuffix("\r\n").split("\r\n") if listing else []


def system(control: "ControlConnection", argument: bytes) -> None:
    """SYST: what LIST looks like."""
    control.reply(215, "UNIX Type: L8")


def features(control: "ControlConnection", argument: bytes) -> None:
    """FEAT: what there is beyond RFC 959 (RFC 2389, section 3)."""
    told_facts = "".join(f"{fact}{'*' * (fact in control.facts)};" for fact in FACTS)
    lines = ["EPRT", "EPSV", "MDTM", f"MLST {told_facts}", "REST STREAM", "SIZE", "TVFS", "UTF8"]
    control.long_reply(211, "There is:", lines, "That is all.")


def options(control: "ControlConnection", argument: bytes) -> None:
    """OPTS: which facts to tell; names are in UTF-8 in any case (RFC 2389, 2640)."""
    verb, _, rest = text_of(argument).partition(" ")
    if verb.upper() == "MLST":
        control.facts = wanted_facts(rest)
        control.reply(200, f"MLST OPTS {''.join(f'{fact};' for fact in control.facts)}".rstrip())
    elif verb.upper() == "UTF8" and rest.upper() in ("", "ON"):
        control.reply(200, "Names are in UTF-8.")
    else:
        raise Refused(501, "There is OPTS UTF8 ON, and OPTS MLST.")


def nothing(control: "ControlConnection", argument: bytes) -> None:
    """NOOP: show that somebody is there."""
    control.reply(200, "Yes.")


def _find(control: "ControlConnection", argument: bytes) -> tuple[ReadOnlyShell, Found]:
    assert control.shell is not None
    return control.shell, control.shell.find(resolve(control.folder, argument))
