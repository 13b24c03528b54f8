"""What URLs begin with, for the client of one connection."""

from typing import Any

from otaserver.http.base_url import BadHost, Reached, base_url, is_from_proxy, parse_host
from otaserver.http.fields import Fields


class ClientURLs:
    """Makes the beginning of URLs from what a client calls the server, once for each host.

    Args:
        transport: the connection.
        is_secure: whether it is encrypted.
        public_url: the beginning of all URLs; empty to make it from the request.
    """

    __slots__ = ("_host_key", "_host_url", "_is_secure", "_public_url", "_transport")

    def __init__(self, transport: Any, is_secure: bool, public_url: str) -> None:
        self._transport = transport
        self._is_secure = is_secure
        self._public_url = public_url
        # What URLs begin with, and the request's host that it was made from: clients repeat it.
        self._host_key: tuple[bytes | None, bool] | None = None
        self._host_url = ""

    def base_url(self, authority: bytes | None, fields: Fields) -> str:
        """Find out what URLs for this client begin with.

        Args:
            authority: the host in the request line, if there is one.
            fields: the request's header fields.

        Returns:
            A URL without a ``/`` at its end.

        Raises:
            BadHost: there are several Host headers, or one is malformed.
        """
        hosts = fields.get(b"Host", ())
        if len(hosts) > 1:
            raise BadHost("The request has more than one Host header.")
        if authority is not None and hosts:
            # It isn't used, but has to be one (RFC 9112, section 3.2).
            parse_host(hosts[0])
        named = authority if authority is not None else hosts[0] if hosts else None
        is_proxied = is_from_proxy(fields)
        if (named, is_proxied) != self._host_key:
            url = base_url(named, self._reached(), is_proxied)
            self._host_url = self._public_url or url
            self._host_key = (named, is_proxied)
        return self._host_url

    def _reached(self) -> Reached:
        address = self._transport.getHost()
        host, port = getattr(address, "host", ""), getattr(address, "port", None)
        return Reached(host, port, self._is_secure)
