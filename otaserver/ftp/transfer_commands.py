"""Commands that transfer data (RFC 959, section 4.1.3; RFC 3659).

See `otaserver.ftp.commands` for the arguments of a command, its result and its errors.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from otaserver.catalogue.model import Folder
from otaserver.ftp.data import DataConnection
from otaserver.ftp.errors import Refused, code_and_text
from otaserver.ftp.list_formats import facts_form, names_form, unix_form
from otaserver.ftp.path_argument import resolve, without_options
from otaserver.ftp.patterns import Matches
from otaserver.ftp.session import Session
from otaserver.ftp.shell import Download, ReadOnlyShell, bytes_download
from otaserver.wire.events import Served, cut
from otaserver.wire.transfer import FIRST_WRITE_BYTES

# Enough digits for the length of any file.
_OFFSET = re.compile(rb"[0-9]{1,18}")

_Prepare = Callable[[ReadOnlyShell, int], Awaitable[Download]]


def restart(session: Session, argument: bytes) -> None:
    """REST: set the offset at which the next transfer starts (RFC 3659, section 5)."""
    if not _OFFSET.fullmatch(argument):
        raise Refused(501, "REST takes an offset in bytes.")
    offset_bytes = int(argument)
    session.choices = replace(session.choices, offset_bytes=offset_bytes)
    session.reply(350, f"The next transfer starts at byte {offset_bytes}.")


async def retrieve(session: Session, argument: bytes) -> None:
    """RETR: send a file, or a manifest."""

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find(*resolve(session.folder, argument))
        return await shell.download(found, session.base_url, offset, session.peer_host)

    await _send(session, "RETR", argument, prepare)


async def list_(session: Session, argument: bytes) -> None:
    """LIST: list a folder, or what matches a pattern, in the format of ``ls -l``."""
    path = without_options(argument)

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find_listed(*resolve(session.folder, path))
        form = unix_form(session.site.listener.wall_s())
        return bytes_download(await shell.listing(found, session.base_url, form))

    await _send(session, "LIST", path, prepare)


async def list_names(session: Session, argument: bytes) -> None:
    """NLST: list the names in a folder, or those that match a pattern, ready as arguments."""
    path = without_options(argument)

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find_listed(*resolve(session.folder, path))
        if isinstance(found, Matches):
            form = names_form("".join(path.decode().rpartition("/")[:2]))
        elif isinstance(found, Folder):
            form = names_form(f"{path.decode().removesuffix('/')}/" if path else "")
        else:
            return bytes_download(path + b"\r\n")
        return bytes_download(await shell.listing(found, session.base_url, form))

    await _send(session, "NLST", path, prepare)


async def list_facts(session: Session, argument: bytes) -> None:
    """MLSD: list a folder in machine-readable form (RFC 3659, section 7).

    The RFC has no patterns here, but ncftp's ``ls`` sends them.
    """

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find_listed(*resolve(session.folder, argument))
        if not isinstance(found, Folder | Matches):
            # RFC 3659, section 7.2.1.
            raise Refused(501, "That is not a folder.")
        form = facts_form(session.choices.facts)
        return bytes_download(await shell.listing(found, session.base_url, form))

    await _send(session, "MLSD", argument, prepare)


def abort(session: Session, argument: bytes) -> None:
    """ABOR: close an unused data connection; a transfer has been aborted before this runs."""
    session.close_data()
    session.reply(226, "Nothing is being transferred.")


def allocate(session: Session, argument: bytes) -> None:
    """ALLO: accepted, but not needed."""
    session.reply(202, "No space needs to be allocated.")


async def _send(session: Session, verb: str, argument: bytes, prepare: _Prepare) -> None:
    """Run a transfer, from its command to its last reply, and close its data connection."""
    offset = session.choices.offset_bytes
    session.choices = replace(session.choices, offset_bytes=0)
    listener = session.site.listener
    began_s = listener.clock.seconds()
    data, shell = session.data, session.shell
    code, size_bytes = 426, 0
    # Built now: if the connection is lost, the session and its folder are reset first.
    path = session.absolute(argument)
    try:
        if data is None or shell is None:
            raise Refused(425, "Use EPSV, PASV, EPRT or PORT first.")
        download = await prepare(shell, offset)
        await _deliver(session, data, download)
        code, size_bytes = 226, download.size_bytes
    except Exception as error:
        code, _ = code_and_text(error)
        size_bytes = data.sent_bytes if data is not None else 0
        raise
    finally:
        session.close_data()
        took_s = listener.clock.seconds() - began_s
        request = cut(b"%b %b FTP" % (verb.encode(), path))
        listener.served(
            Served(listener.wall_s(), took_s, session.peer_host, request, code, size_bytes)
        )
    session.reply(code, "Sent.")


async def _deliver(session: Session, data: DataConnection, download: Download) -> None:
    transfer, unread = download.transfer, session.site.listener.unread
    if len(download.body) <= FIRST_WRITE_BYTES:
        await _send_over(session, data, download)
        return
    # Even while nothing is being sent yet, the body takes memory.
    unread.make_room(download.body)
    unread.hold(transfer, download.body)
    try:
        await _send_over(session, data, download)
    finally:
        unread.release(transfer)


async def _send_over(session: Session, data: DataConnection, download: Download) -> None:
    site = session.site
    try:
        data.check()
        # Clients look for the size in this form. They take it for that of the whole file,
        # also after REST.
        session.reply(150, f"Sending ({download.whole_bytes} bytes).")
        await data.opened(site.now_s + site.timeouts.data_s)
    except Exception:
        download.transfer.discard()
        raise
    await data.send(download.transfer, site.stall_detector())
