"""The HTTP site: a factory that gives each connection the state that all share."""

from typing import Any

from twisted.web import server

from otaserver.http.channel import Channel
from otaserver.http.request import Request
from otaserver.http.state import SiteState
from otaserver.wire.events import Served, cut


class Site(server.Site):
    """Serves a release tree.

    Args:
        state: what its connections share.
    """

    # Twisted puts a proxy here that can switch to HTTP/2, which nothing here speaks.
    protocol = Channel  # type: ignore[assignment]
    requestFactory = Request  # type: ignore[assignment]
    noisy = False

    def __init__(self, state: SiteState) -> None:
        super().__init__(None, reactor=state.listener.clock, timeout=None)
        self.state = state

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of a new connection.

        Args:
            addr: where it comes from.

        Returns:
            The protocol.
        """
        channel: Any = super().buildProtocol(addr)
        channel.state = self.state
        return channel

    def startFactory(self) -> None:
        """Begin to look at the clock."""
        self.state.listener.start()

    def stopFactory(self) -> None:
        """Stop looking at the clock."""
        self.state.listener.stop()

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 and nothing else over TLS (ALPN, RFC 7301).

        Returns:
            The protocol's name.
        """
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Record an answered request; Twisted calls this.

        Args:
            request: a `Request` whose answer has ended.
        """
        listener = self.state.listener
        ended_s = listener.clock.seconds()
        fields = request.fields
        listener.served(
            Served(
                ended_s,
                ended_s - request.began_s,
                request.channel.peer_host,
                cut(b" ".join((request.method, request.uri, request.clientproto))),
                int(request.code),
                request.sentLength,
                cut(fields[b"Referer"][0]) if b"Referer" in fields else b"",
                cut(fields[b"User-Agent"][0]) if b"User-Agent" in fields else b"",
            )
        )
