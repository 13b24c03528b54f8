"""What FTP replies to each kind of error: one table from error to code."""

from collections.abc import Mapping
from types import MappingProxyType

from otaserver.disk.disk import DiskBusy
from otaserver.errors import OTAServerError, ServerFailed
from otaserver.wire.file_transfer import FileChangedWhileSent, FileUnreadable


class Refused(OTAServerError):
    """A command is refused.

    Args:
        code: the reply's code (RFC 959, section 4.2).
        sentence: what is wrong.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


# "Requested action not taken": FTP's reply where HTTP has an error status, with the
# same sentence.
_NOT_TAKEN = 550

_CODES: Mapping[type[OTAServerError], int] = MappingProxyType(
    {
        DiskBusy: 450,
        FileChangedWhileSent: 451,
        FileUnreadable: 451,
        OTAServerError: _NOT_TAKEN,
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
