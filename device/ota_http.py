"""HTTP/1.1 downloads: GET from an offset (RFC 9110, RFC 9112).

What reads the answers is in ota_answer, which is unloaded while nothing is asked.
"""

from ota_socket import Connection


class HTTP:
    """Downloads from one server; the connection is kept between requests.

    Args:
        host: address or name.
        port: TCP port.
        timeout_s: time-out of connecting and of each read.
        board: for the clock and the watchdog.
    """

    login = ()  # there is none

    def __init__(self, host, port, timeout_s, board):
        self.place = (host, port)
        self._timeout_s = timeout_s
        self._board = board
        self._kept = None

    def open(self, path, offset):
        """Return a stream; see OTA.open. Raises LinkError or ServerError."""
        from ota_answer import ask

        return ask(self, path, offset)

    def connect(self, place):
        """Return a Connection: to the server the one that was kept, if it is still open.

        Args:
            place: (host, port).
        """
        if self._kept and not self._kept.is_idle():
            self.close()
        if self._kept and place == self.place:
            connection, self._kept = self._kept, None
            connection.restart_clock()
            return connection
        return Connection(place[0], place[1], self._timeout_s, self._board)

    def keep(self, connection):
        """Keep a connection for the next request.

        Args:
            connection: a Connection to the server, whose last response was read to its end.
        """
        self.close()
        self._kept = connection

    def close(self):
        """Close the connection that is kept between requests."""
        if self._kept:
            self._kept.close()
            self._kept = None
