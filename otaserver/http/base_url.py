"""What URLs begin with, for the client of one connection."""

from collections.abc import Sequence
from typing import Any

from otaserver.http.target import BadTarget, checked_host


class BaseURL:
    """Makes the beginning of URLs from what a client calls the server.

    Args:
        transport: the connection.
        is_secure: whether it is encrypted.
        public_url: the beginning of all URLs; empty to make it from the request.
    """

    __slots__ = ("_host_header", "_host_url", "_is_secure", "_public_url", "_transport")

    def __init__(self, transport: Any, is_secure: bool, public_url: str) -> None:
        self._transport = transport
        self._is_secure = is_secure
        self._public_url = public_url
        # The last Host header that was checked, and the URL made from it: clients repeat it.
        self._host_header: bytes | None = None
        self._host_url = ""

    def find(self, authority: bytes | None, hosts: Sequence[bytes]) -> str:
        """Find out what URLs for this client begin with.

        Args:
            authority: the host in the request line, if there is one.
            hosts: the request's Host headers.

        Returns:
            A URL without a ``/`` at its end.

        Raises:
            BadTarget: there are several Host headers, or one is malformed.
        """
        if len(hosts) > 1:
            raise BadTarget("The request has more than one Host header.")
        named = authority if authority is not None else hosts[0] if hosts else None
        if named is None or named != self._host_header:
            host = checked_host(named) if named is not None else self._own_authority()
            scheme = "https" if self._is_secure else "http"
            self._host_url = self._public_url or f"{scheme}://{host}"
            self._host_header = named
        return self._host_url

    def _own_authority(self) -> str:
        """Format the address that the client reached as in a URL."""
        reached = self._transport.getHost()
        host = getattr(reached, "host", "localhost")
        port = getattr(reached, "port", None)
        # A zone means something on this computer only.
        host = host.partition("%")[0]
        shown = f"[{host}]" if ":" in host else host
        usual_port = 443 if self._is_secure else 80
        authority = shown if port in (None, usual_port) else f"{shown}:{port}"
        # Behind a proxy, the address is what the proxy says.
        return checked_host(authority.encode())
