"""What FTP replies to each kind of error: one table from error to code."""

from collections.abc import Mapping
from types import MappingProxyType

from otaserver.catalogue.stamps import FileChanged, FileRemoved
from otaserver.disk.disk import DiskBusy
from otaserver.errors import OTAServerError, ServerFailed
from otaserver.service import TreeNotReadYet
from otaserver.wire.file_transfer import FileChangedWhileSent, FileUnreadable
from otaserver.wire.limits import TooManyConnections
from otaserver.wire.unread import TooMuchUnread


class Refused(OTAServerError):
    """A command is refused.

    Args:
        code: the reply's code (RFC 959, section 4.2).
        sentence: what is wrong.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


# What passes has a code below 500, so that devices and people try again; what doesn't has
# one from 500 up (RFC 959, section 4.2.1). The sentences are those that HTTP gives.
_CODES: Mapping[type[OTAServerError], int] = MappingProxyType(
    {
        TooManyConnections: 421,
        # Where HTTP answers 503.
        DiskBusy: 450,
        TooMuchUnread: 450,
        TreeNotReadYet: 450,
        FileChanged: 450,
        FileChangedWhileSent: 451,
        FileUnreadable: 451,
        ServerFailed: 451,
        FileRemoved: 550,
        OTAServerError: 550,
    }
)


def code_and_text(error: BaseException | None) -> tuple[int, str]:
    """Find the reply to an error.

    Args:
        error: what went wrong; the details of an unexpected error are for the log
            only.

    Returns:
        The code and the text.
    """
    if isinstance(error, Refused):
        return error.code, str(error)
    for kind in type(error).__mro__:
        code = _CODES.get(kind)
        if code is not None:
            return code, str(error)
    return code_and_text(ServerFailed())
