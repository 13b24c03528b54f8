"""What a connection needs of a request that is being answered."""

from typing import Protocol


class Answering(Protocol):
    """A request that is being answered.

    Attributes:
        sent_bytes: how much of the answer's body was sent.
    """

    sent_bytes: int

    def answer(self) -> None:
        """Answer; in the end, the connection's ``answered`` is called."""

    def abandon(self) -> None:
        """Note that nobody is waiting for the answer any more."""
