"""FTP downloads: passive mode, binary, from an offset (RFC 959, RFC 2428, RFC 3659).

What talks to the server is in ota_transfer, which is unloaded while nothing is asked.
"""

from ota_socket import Connection


class FTP:
    """Downloads from one server; the control connection is kept between downloads.

    Args:
        host: address or name.
        port: of the control connection.
        user, password: of the account.
        timeout_s: time-out of connecting and of each read.
        board: for the clock and the watchdog.
    """

    def __init__(self, host, port, user, password, timeout_s, board):
        self.place = (host, port)
        self.login = (user, password)
        self.control = None
        self.is_epsv_open = True
        self._timeout_s = timeout_s
        self._board = board

    def open(self, path, offset):
        """Return a stream; see OTA.open. Raises LinkError or ServerError."""
        from ota_transfer import retrieve

        try:
            return retrieve(self, path, offset)
        except Exception:
            self.close()
            raise

    def connect(self, port):
        """Return a Connection: to the address of the control connection if there is one.

        Args:
            port: to connect to.
        """
        peer = None
        if self.control:
            family, address = self.control.peer
            if isinstance(address, tuple):
                peer = family, address[:1] + (port,) + address[2:]
            else:  # bytes, of C's struct sockaddr
                peer = family, address[:2] + port.to_bytes(2, "big") + address[4:]
        return Connection(self.place[0], port, self._timeout_s, self._board, peer)

    def close(self):
        """Close the control connection."""
        if self.control:
            self.control.close()
            self.control = None
        self.is_epsv_open = True  # as far as is known of the next session
