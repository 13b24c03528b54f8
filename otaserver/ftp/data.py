"""One data connection, from PASV or PORT to its end."""

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from otaserver.ftp.errors import Refused
from otaserver.ftp.network import Network, OpenPort
from otaserver.wire.outgoing import Outgoing
from otaserver.wire.stall import StallDetector
from otaserver.wire.transfer import Transfer, TransferAborted

_NOT_OPENED = "The data connection was not opened."
_LOST = "The data connection was lost."
_TOO_SLOW = "The data connection was too slow."


@implementer(IHalfCloseableProtocol)
class DataConnection(Protocol):
    """Carries what one command sends.

    It is made when the client says how to connect, and serves one transfer. The
    client may connect before or after the command. It may close its sending side at once,
    as nc, socat and some modems do: it has nothing to send. If it has closed the other as
    well, that shows when something is sent.

    Args:
        opening_until_s: the deadline for opening it and beginning to use it, in
            seconds since 1970.
        peer_host: the client's address, in canonical form.
    """

    log = Logger()
    transport: Any = None

    def __init__(self, opening_until_s: float, peer_host: str) -> None:
        self._deadline_s = opening_until_s
        self._peer_host = peer_host
        self._turned_away: Refused | None = None
        self._port: OpenPort | None = None
        self._connect: Callable[[], Deferred[Any]] | None = None
        self._connecting: Deferred[Any] | None = None
        self._waiting: Deferred[None] | None = None
        self._outgoing: Outgoing | None = None
        self._sent_bytes = 0
        self._is_sent = False
        self._stall: StallDetector | None = None
        self._ended: Refused | None = None

    @property
    def sent_bytes(self) -> int:
        """How much of the transfer has arrived; once it has ended, how much was sent."""
        if self._outgoing is None or self._is_sent:
            return self._sent_bytes
        return self._outgoing.delivered_bytes

    def wait_at(self, network: Network, host: str) -> int:
        """Open a port for the client to connect to.

        Args:
            network: opens the port.
            host: see `Network.listen`.

        Returns:
            The port.

        Raises:
            OSError: no port can be opened.
        """
        self._port = network.listen(host, self._peer_host, self)
        return self._port.number

    def turn_away(self, host: str) -> None:
        """Take note of a connection from elsewhere, which has been closed.

        It most likely is the client's own, by way of a second address. So a command that
        waits for a connection fails now; one that is still to come, unless the client
        has connected by then.

        Args:
            host: the address that it came from.
        """
        told = self._turned_away is not None
        self._turned_away = Refused(
            425, f"The data connection came from {host}, and not from {self._peer_host}."
        )
        if not told:
            self.log.warn(
                "A data connection for {peer} came from {host} and was refused; if that is the "
                "same client, see --ftp-data-from-network.",
                peer=self._peer_host,
                host=host,
            )
        if self._waiting is not None:
            self.abort(self._turned_away)

    def connect_later(self, connect: "Callable[[], Deferred[Any]]") -> None:
        """Remember how to connect to the client when there is something to send.

        Args:
            connect: calls `Network.connect`.
        """
        self._connect = connect

    def check(self) -> None:
        """Check that the connection can still be used.

        Raises:
            Refused: the connection has ended, can't be opened any more, or came from
                elsewhere.
        """
        if self._turned_away is not None and not self.connected:
            self.abort(self._turned_away)
        if self._ended is not None:
            raise self._ended

    def opened(self, until_s: float) -> "Deferred[None]":
        """Wait for the connection.

        Args:
            until_s: the deadline, in seconds since 1970.

        Returns:
            Fires when it is open; fails with `Refused` if it can't be opened.
        """
        self._deadline_s = until_s
        waiting: Deferred[None] = Deferred()
        if self.connected:
            waiting.callback(None)
        else:
            self._waiting = waiting
            self._begin_to_connect()
        return waiting

    async def send(self, transfer: Transfer, stall: StallDetector) -> None:
        """Send something.

        Args:
            transfer: what to send.
            stall: decides whether it makes progress.

        Raises:
            Refused: the connection was closed, or was too slow.
            OTAServerError: see `Transfer.start`.
        """
        self._stall = stall
        self._deadline_s = inf
        self._outgoing = Outgoing(self.transport)
        try:
            await self._outgoing.send(transfer)
        except TransferAborted as error:
            raise self._ended or Refused(426, _LOST) from error
        finally:
            self._sent_bytes, self._is_sent = transfer.sent_bytes, True

    def connectionMade(self) -> None:
        """Resume the command that is waiting for the connection, if there is one."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        if self._ended is not None:
            self.transport.abortConnection()
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End, because the connection has ended.

        Args:
            reason: why it ended.
        """
        self.connected = 0
        if self._outgoing is not None:
            self._outgoing.stopProducing()
        self._end(Refused(426, _LOST))

    def readConnectionLost(self) -> None:
        """Go on, because the client has closed only the side that isn't used."""

    def writeConnectionLost(self) -> None:
        """Do nothing: this side is never closed alone. See `IHalfCloseableProtocol`."""

    def close(self) -> None:
        """Close it, and all that belongs to it, after what was sent."""
        self._end(Refused(425, _NOT_OPENED))
        if self.connected:
            self.transport.loseConnection()

    def abort(self, why: Refused) -> None:
        """Close it at once, whatever is in progress.

        Args:
            why: what the command that uses it reports.
        """
        self._end(why)
        if self.connected:
            self.transport.abortConnection()

    def check_time(self, now_s: float) -> None:
        """End what takes too long; this is called once a second.

        Args:
            now_s: the time, in seconds.
        """
        if self._stall is not None and self._outgoing is not None:
            if self._outgoing.is_stalled(self._stall, now_s):
                self.abort(Refused(426, _TOO_SLOW))
        elif now_s >= self._deadline_s:
            self.abort(Refused(425, _NOT_OPENED))

    def _begin_to_connect(self) -> None:
        if self._connect is not None:
            self._connecting = self._connect()
            self._connecting.addErrback(lambda _: self.abort(Refused(425, _NOT_OPENED)))

    def _end(self, why: Refused) -> None:
        """Close the port, stop connecting, and tell the waiting command."""
        if self._ended is not None:
            return
        self._ended = why
        self._deadline_s = inf
        port, self._port = self._port, None
        if port is not None:
            port.close()
        connecting, self._connecting = self._connecting, None
        if connecting is not None and not self.connected:
            connecting.cancel()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(why)
