"""Who may log in, and how many attempts a connection gets."""

from dataclasses import dataclass

from twisted.cred.credentials import Anonymous, ICredentials, UsernamePassword

_ANONYMOUS_NAMES = frozenset({"anonymous", "ftp"})


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """Limits that slow down password guessing (RFC 2577, section 5).

    Attributes:
        attempts: the number of failed log-ins after which a connection is closed.
        delay_s: the delay before a failed log-in is answered, in seconds.
    """

    attempts: int
    delay_s: float

    def is_last(self, failures: int) -> bool:
        """Return whether a connection has used up its attempts.

        Args:
            failures: the number of failed log-ins on this connection so far.

        Returns:
            Whether the connection must be closed.
        """
        return failures >= self.attempts


def is_anonymous(name: str) -> bool:
    """Return whether a user name means anonymous access (RFC 1635).

    Args:
        name: USER's argument, in any case.

    Returns:
        Whether it is ``anonymous`` or ``ftp``.
    """
    return name.lower() in _ANONYMOUS_NAMES


def credentials_of(name: str, password: bytes) -> ICredentials:
    """Turn a client's USER and PASS into credentials for Twisted's cred.

    Args:
        name: USER's argument.
        password: PASS's argument; ignored for anonymous access.

    Returns:
        Anonymous credentials, or a user name with its password.
    """
    if is_anonymous(name):
        return Anonymous()  # type: ignore[return-value]
    return UsernamePassword(name.encode(), password)  # type: ignore[return-value]
