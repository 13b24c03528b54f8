"""The FTP site: a factory that gives each connection the state that all share."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from otaserver.ftp.control import ControlConnection
from otaserver.ftp.state import SiteState


class FTPFactory(Factory):
    """Serves a release tree over FTP.

    Args:
        state: what its connections share.
    """

    noisy = False

    def __init__(self, state: SiteState) -> None:
        self.state = state

    def buildProtocol(self, addr: IAddress | None) -> ControlConnection:
        """Make the protocol for a new control connection.

        Args:
            addr: where it comes from.

        Returns:
            The protocol.
        """
        control = ControlConnection()
        control.factory = self
        control.site = self.state
        return control

    def startFactory(self) -> None:
        """Start checking deadlines."""
        self.state.listener.start()

    def stopFactory(self) -> None:
        """Stop checking deadlines."""
        self.state.listener.stop()
