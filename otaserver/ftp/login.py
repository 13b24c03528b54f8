"""Who may log in, and how often somebody may try."""

from dataclasses import dataclass

from twisted.cred.credentials import Anonymous, ICredentials, UsernamePassword

_ANONYMOUS_NAMES = frozenset({"anonymous", "ftp"})


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """How hard it is to guess.

    Attributes:
        attempts: how often one connection may try.
        delay_s: how long an answer to a wrong attempt takes, in seconds.
    """

    attempts: int
    delay_s: float

    def is_last(self, failures: int) -> bool:
        """Tell whether a connection that failed so often has to go."""
        return failures >= self.attempts


def is_anonymous(name: str) -> bool:
    """Tell whether a name stands for everybody (RFC 1635)."""
    return name.lower() in _ANONYMOUS_NAMES


def credentials_of(name: str, password: bytes) -> ICredentials:
    """Turn what a client sent into what cred's checkers take.

    Args:
        name: USER's argument.
        password: PASS's argument; of no meaning for anonymous access.
    """
    if is_anonymous(name):
        return Anonymous()  # type: ignore[return-value]
    return UsernamePassword(name.encode(), password)  # type: ignore[return-value]
