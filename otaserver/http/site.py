"""The HTTP site: a factory that gives each connection the state that all share."""

from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from otaserver.http.channel import Channel
from otaserver.http.request import Request
from otaserver.http.state import SiteState


@implementer(IProtocolNegotiationFactory)
class Site(Factory):
    """Serves a release tree.

    Args:
        state: what its connections share.
    """

    noisy = False

    def __init__(self, state: SiteState) -> None:
        self.state = state

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        """Make the protocol for a new connection.

        Args:
            addr: where it comes from.

        Returns:
            The protocol.
        """
        channel = Channel()
        channel.factory = self
        channel.requestFactory = Request  # type: ignore[assignment]
        channel.state = self.state
        return channel

    def startFactory(self) -> None:
        """Start checking deadlines."""
        self.state.listener.start()

    def stopFactory(self) -> None:
        """Stop checking deadlines."""
        self.state.listener.stop()

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 and nothing else over TLS (ALPN, RFC 7301).

        Returns:
            The protocol's name.
        """
        return [b"http/1.1"]
