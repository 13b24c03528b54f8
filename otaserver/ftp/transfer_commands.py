"""Commands that send something over a data connection (RFC 959, section 4.1.3; RFC 3659)."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from otaserver.catalogue import Folder
from otaserver.ftp.data import DataConnection
from otaserver.ftp.errors import Refused, told
from otaserver.ftp.listing import facts_form, names_form, unix_form
from otaserver.ftp.paths import resolve, without_options
from otaserver.ftp.shell import Download, ReadOnlyShell, bytes_download

if TYPE_CHECKING:
    from otaserver.ftp.control import ControlConnection

# More digits than the length of any file has.
_OFFSET = re.compile(rb"[0-9]{1,18}")

_Prepare = Callable[[ReadOnlyShell, int], Awaitable[Download]]


def restart(control: "ControlConnection", argument: bytes) -> None:
    """REST: where the next transfer begins (RFC 3659, section 5)."""
    if not _OFFSET.fullmatch(argument):
        raise Refused(501, "REST takes an offset in bytes.")
    control.offset_bytes = int(argument)
    control.reply(350, f"The next transfer begins at {control.offset_bytes}.")


async def retrieve(control: "ControlConnection", argument: bytes) -> None:
    """RETR: send a file, or a manifest."""

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find(resolve(control.folder, argument))
        return await shell.download(found, control.base_url, offset)

    await _send(control, "RETR", argument, prepare)


async def list_(control: "ControlConnection", argument: bytes) -> None:
    """LIST: a folder as people read it."""
    path = without_options(argument)

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find(resolve(control.folder, path))
        form = unix_form(control.factory.now_s)
        return bytes_download(await shell.listing(found, control.base_url, form))

    await _send(control, "LIST", path, prepare)


async def list_names(control: "ControlConnection", argument: bytes) -> None:
    """NLST: the names in a folder, as they can be asked for."""
    path = without_options(argument)

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find(resolve(control.folder, path))
        if not isinstance(found, Folder):
            return bytes_download(path + b"\r\n")
        form = names_form(f"{path.decode().removesuffix('/')}/" if path else "")
        return bytes_download(await shell.listing(found, control.base_url, form))

    await _send(control, "NLST", path, prepare)


async def list_facts(control: "ControlConnection", argument: bytes) -> None:
    """MLSD: a folder as programs read it."""

    async def prepare(shell: ReadOnlyShell, offset: int) -> Download:
        found = shell.find(resolve(control.folder, argument))
        if not isinstance(found, Folder):
            # RFC 3659, section 7.2.1.
            raise Refused(501, "That is no folder.")
        form = facts_form(control.facts)
        return bytes_download(await shell.listing(found, control.base_url, form))

    await _send(control, "MLSD", argument, prepare)


def abort(control: "ControlConnection", argument: bytes) -> None:
    """ABOR: what it ends has ended already, so this closes what is left over."""
    control.close_data()
    control.reply(226, "Nothing is being transferred.")


def allocate(control: "ControlConnection", argument: bytes) -> None:
    """ALLO: nothing has to be allocated."""
    control.reply(202, "That is not needed.")


async def _send(
    control: "ControlConnection", verb: str, argument: bytes, prepare: _Prepare
) -> None:
    """Do a transfer from its command to its last reply; its data connection ends with it."""
    offset, control.offset_bytes = control.offset_bytes, 0
    data, shell = control.data, control.shell
    code, size_bytes = 426, 0
    # Now: if the connection is lost, the session with its folder ends first.
    path = control.absolute(argument)
    try:
        if data is None or shell is None:
            raise Refused(425, "Use EPSV, PASV, EPRT or PORT first.")
        download = await prepare(shell, offset)
        await _deliver(control, data, download)
        code, size_bytes = 226, download.size_bytes
    except Exception as error:
        code, _ = told(error)
        size_bytes = data.sent_bytes if data is not None else 0
        raise
    finally:
        control.close_data()
        control.factory.log_transfer(control.peer_host, verb, path, code, size_bytes)
    control.reply(code, "Sent.")


async def _deliver(control: "ControlConnection", data: DataConnection, download: Download) -> None:
    factory = control.factory
    try:
        data.check()
        control.reply(150, f"{download.size_bytes} bytes follow.")
        await data.opened(factory.now_s + factory.timeouts.data_s)
    except Exception:
        download.transfer.discard()
        raise
    await data.send(download.transfer, factory.progress())
