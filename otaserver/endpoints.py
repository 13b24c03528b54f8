r"""The endpoints that ``--http`` and ``--ftp`` name, and what is said about wrong ones.

Twisted's parsers report a mistake as whatever ``int()``, the call of a function or OpenSSL
raises. So the types of endpoints that people use are checked here first.

A description is words between colons, some of which begin with ``NAME=``; a colon that
belongs to a value is written ``\:``.
"""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from twisted.application import strports
from twisted.application.internet import StreamServerEndpointService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from otaserver.certificates import fault_of_files, fault_of_folder
from otaserver.option_values import MAX_PORT
from otaserver.startup import CannotStart, quoted
from otaserver.trial import TrialReactor

# In the order in which Twisted's parsers take them.
_PARAMETERS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "ssl": (
        *("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
        *("extraCertChain", "dhParameters"),
    ),
    "tls": ("path", "port", "backlog", "interface"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "systemd": ("domain", "index", "name"),
}
_TRIED = ("tcp", "tcp6", "ssl", "tls", "unix")
_REQUIRED = {"tls": "path", "unix": "address", "systemd": "domain"}

# Those that Twisted turns into numbers, and what each is expected to be.
_NUMBERS = {
    "port": (re.compile(r"\d{1,5}"), f"a number from 0 to {MAX_PORT}"),
    # The kernel takes no more, and cuts it down to its own limit.
    "backlog": (re.compile(r"\d{1,9}"), "a number below 1000000000"),
    "index": (re.compile(r"\d{1,9}"), "the number of a socket, counted from 0"),
    "mode": (re.compile(r"0?[0-7]{1,3}"), "an octal mode such as 660"),
    "lockfile": (re.compile(r"[01]"), "0 or 1"),
}
_ANYTHING = re.compile(r".*", re.DOTALL)

_WORD = re.compile(r"(?:(?P<name>(?:\\.|[^\\:=])*)=)?(?P<value>(?:\\.|[^\\:])*):", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

# What people write who know other servers.
_ADDRESS_AND_PORT = re.compile(
    r"(?:[a-z]+://)?(?:(?P<host>[\d.]+|localhost|\[(?P<ipv6>[\da-f:.]+)\])?:)?(?P<port>\d{1,5})/?",
    re.ASCII | re.IGNORECASE,
)


class Endpoint(NamedTuple):
    """An endpoint of one of the types that are known here.

    Attributes:
        kind: its type, such as ``tcp``.
        values: its parameters by name.
    """

    kind: str
    values: dict[str, str]

    def secrets(self) -> Iterable[Path]:
        """Tell where the private key is.

        Returns:
            The path of its file, or of the folder that it is in.
        """
        if self.kind == "ssl":
            yield Path(self.values.get("privateKey", "server.pem")).absolute()
        elif self.kind == "tls":
            yield Path(self.values["path"]).absolute()


def checked_endpoint(option: str, text: str) -> Endpoint | None:
    """Check the description of an endpoint.

    Args:
        option: the option that it was given with.
        text: the description, as for Twisted's `serverFromString`.

    Returns:
        The endpoint; None if only Twisted knows its type.

    Raises:
        CannotStart: it is malformed, or what it needs is not installed.
    """
    try:
        return _endpoint(text)
    except _Wrong as error:
        raise CannotStart(f"{option} {quoted(text)} {error}") from error


def listen(option: str, text: str, factory: Any) -> StreamServerEndpointService:
    """Make a service that listens at an endpoint.

    Args:
        option: the option that the endpoint was given with.
        text: its description.
        factory: the protocol factory.

    Returns:
        The service.

    Raises:
        CannotStart: the description is malformed.
    """
    try:
        return strports.service(text, factory)
    except Exception as error:
        raise CannotStart(f"{option} {quoted(text)} {_what_twisted_says(text, error)}") from error


def try_to_listen(endpoints: dict[str, str]) -> None:
    """Try whether ports can be opened, all at the same time.

    Args:
        endpoints: the descriptions by option; those that are empty are left out.

    Raises:
        CannotStart: one can't, because it is taken, for example.
    """
    with TrialReactor() as reactor:
        for option, text in endpoints.items():
            failures: list[Failure] = []
            endpoint = _endpoint(text)
            # Others would use up what they are given: a socket from systemd is closed.
            if endpoint is not None and endpoint.kind in _TRIED:
                trying: Any = serverFromString(reactor, text).listen(None)
                trying.addErrback(failures.append)
            for failure in failures:
                raise CannotStart(_why_not(option, text, failure.value)) from failure.value


class _Wrong(Exception):
    """What is wrong with a description, as the end of a sentence that begins with it."""


def _endpoint(text: str) -> Endpoint | None:
    words = _words(text)
    kind = words.pop(0)[1]
    if kind.lower() == "haproxy" and words:
        # What follows is an endpoint of its own.
        kind = words.pop(0)[1]
    if kind not in _PARAMETERS:
        return None
    endpoint = Endpoint(kind, _values(kind, words))
    if kind == "tls":
        _check_folder_is_meant(endpoint.values)
    _check_numbers(endpoint)
    if kind in ("tls", "ssl"):
        if find_spec("OpenSSL") is None or find_spec("service_identity") is None:
            raise _Wrong("needs packages for TLS: pip install 'otaserver[tls]'")
        _check_certificates(endpoint)
    return endpoint


def _words(text: str) -> list[tuple[str | None, str]]:
    found = list(_WORD.finditer(f"{text}:"))
    if sum(len(match[0]) for match in found) != len(text) + 1:
        raise _Wrong("ends with a backslash")
    return [
        (None if match["name"] is None else _unescaped(match["name"]), _unescaped(match["value"]))
        for match in found
    ]


def _unescaped(part: str) -> str:
    return _ESCAPED.sub(r"\1", part)


def _values(kind: str, words: list[tuple[str | None, str]]) -> dict[str, str]:
    names = _PARAMETERS[kind]
    by_place = [value for name, value in words if name is None]
    by_name = {name: value for name, value in words if name is not None}
    if len(by_place) > len(names) or set(names[: len(by_place)]) & by_name.keys():
        raise _Wrong(r"has too many parts: write a colon that belongs to a value as \:")
    for name in by_name.keys() - set(names):
        raise _Wrong(f"has {quoted(name)}, but {kind} takes only {', '.join(names)}")
    values = dict(zip(names, by_place, strict=False)) | by_name
    required = _REQUIRED.get(kind, "port")
    if not values.get(required):
        raise _Wrong(f"lacks its {required}")
    return values


def _check_folder_is_meant(values: dict[str, str]) -> None:
    folder = values["path"]
    if folder.isdecimal() and "port" not in values:
        raise _Wrong(
            f"means a folder of certificates called {folder}, and port 443: "
            f"write tls:FOLDER:{folder}"
        )


def _check_numbers(endpoint: Endpoint) -> None:
    for name, value in endpoint.values.items():
        pattern, what = _NUMBERS.get(name, (_ANYTHING, ""))
        if not pattern.fullmatch(value) or (name == "port" and int(value) > MAX_PORT):
            raise _Wrong(f"has the {name} {quoted(value)}, which is not {what}")


def _check_certificates(endpoint: Endpoint) -> None:
    values = endpoint.values
    if endpoint.kind == "tls":
        fault = fault_of_folder(Path(values["path"]))
    else:
        key = values.get("privateKey", "server.pem")
        fault = fault_of_files(key, values.get("certKey", key), values)
    if fault:
        raise _Wrong(f"names {fault}")


def _what_twisted_says(text: str, error: Exception) -> str:
    """Turn what a parser raised into the end of a sentence."""
    endpoint = _endpoint(text)
    if endpoint is None:
        match = _ADDRESS_AND_PORT.fullmatch(text)
        if match is None:
            return f"is not an endpoint such as tcp:8000: {error}"
        kind = "tcp6" if match["ipv6"] else "tcp"
        host = (match["ipv6"] or match["host"] or "").replace(":", r"\:")
        interface = f":interface={host}" if host else ""
        return f"is not an endpoint: write {kind}:{match['port']}{interface}"
    if endpoint.kind == "systemd" and isinstance(error, LookupError):
        return "names a socket that systemd has not passed to this process"
    if endpoint.kind == "tls":
        return f"names a folder with a .pem file that can't be read: {_reason(error)}"
    if endpoint.kind == "ssl":
        return f"can't be used for TLS: {_reason(error)}"
    return f"is not a valid endpoint: {error}"


def _reason(error: Exception) -> str:
    """Say what was raised; OpenSSL's own errors are lists of (library, function, reason)."""
    errors = error.args[0] if error.args else None
    return ", ".join(reason for *_, reason in errors) if isinstance(errors, list) else str(error)


def _why_not(option: str, text: str, error: BaseException | None) -> str:
    cause = error.socketError if isinstance(error, CannotListenError) else error
    reason = getattr(cause, "strerror", None) or str(cause)
    return f"can't listen at {option} {quoted(text)}: {reason}; choose another with {option}"
