"""What the server says when it can't do what a command asks for."""

from otaserver.errors import OTAServerError
from otaserver.sentences import SERVER_FAILED


class Refused(OTAServerError):
    """A command that is not done.

    Args:
        code: the reply's code (RFC 959, section 4.2).
        sentence: what is wrong.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def told(error: object) -> tuple[int, str]:
    """Say what a client is told of an error: the code and the text of a reply.

    What HTTP answers with an error status is 550 here, with the same sentence.

    Args:
        error: what went wrong.
    """
    if isinstance(error, Refused):
        return error.code, str(error)
    return 550, str(error) if isinstance(error, OTAServerError) else SERVER_FAILED
