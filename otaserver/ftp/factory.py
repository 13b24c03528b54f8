"""The FTP site: a factory that gives each connection the state that all share."""

from typing import Any

from twisted.internet.interfaces import IAddress

from otaserver.ftp.control import ControlConnection
from otaserver.ftp.state import SiteState
from otaserver.wire.listener import ListeningFactory


class FTPFactory(ListeningFactory[SiteState]):
    """Serves a release tree over FTP.

    Args:
        state: what its connections share.
    """

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the protocol for a new control connection.

        Args:
            addr: where it comes from.

        Returns:
            The protocol, a `ControlConnection`; Twisted's types expect one of its own.
        """
        return ControlConnection(self.state)
