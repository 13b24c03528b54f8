"""The HTTP site: a factory that gives each connection the state that all share."""

from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from zope.interface import implementer

from otaserver.http.channel import Channel
from otaserver.http.request import Request
from otaserver.http.state import SiteState
from otaserver.wire.listener import ListeningFactory


@implementer(IProtocolNegotiationFactory)
class Site(ListeningFactory[SiteState]):
    """Serves a release tree.

    Args:
        state: what its connections share.
    """

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        """Make the protocol for a new connection.

        Args:
            addr: where it comes from.

        Returns:
            The protocol.
        """
        channel = Channel(self.state, Request)
        channel.factory = self
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 and nothing else over TLS (ALPN, RFC 7301).

        Returns:
            The protocol's name.
        """
        return [b"http/1.1"]
