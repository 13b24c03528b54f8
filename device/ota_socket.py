"""A TCP connection with time-outs, short reads made good and no unbounded line."""

import socket

from ota_errors import LinkError, ServerError

LONGEST_LINE_BYTES = 1024
# Slower than this on the whole, and a connection counts as stalled.
SLOWEST_BYTES_PER_S = 32
# MicroPython's readinto returns only when all is there: small reads let the pace be seen.
LONGEST_READ_BYTES = 128


class Connection:
    """One connection. Every error of the socket becomes a LinkError."""

    def __init__(self, host, port, timeout_s, board):
        self._timeout_s = timeout_s
        self._board = board
        self._start_ms = board.ticks_ms()
        self._received = 0
        self._byte = bytearray(1)
        self._socket = None
        try:
            # The form that every port's connect() takes; names work as well as numbers.
            address = socket.getaddrinfo(host, port)[0][-1]
            self._socket = socket.socket()
            self._socket.settimeout(timeout_s)
            self._socket.connect(address)
            self._reader = self._socket
            if not hasattr(self._reader, "readinto"):
                self._reader = self._socket.makefile("rb", 0)
        except Exception as error:  # TimeoutError is no OSError everywhere
            self.close()
            raise LinkError("no connection to {}:{}: {}".format(host, port, error))

    def restart_clock(self):
        """Begin a new exchange: its pace is judged on its own."""
        self._start_ms = self._board.ticks_ms()
        self._received = 0

    def send(self, data):
        """Send all of ``data``; Pycom's sendall may send less."""
        try:
            while data:
                data = data[self._socket.send(data) :]
        except Exception as error:
            raise LinkError("the connection broke: {}".format(error))

    def readinto(self, view):
        """Read up to ``len(view)`` bytes, perhaps less; 0 at the end of the stream."""
        try:
            count = self._reader.readinto(memoryview(view)[:LONGEST_READ_BYTES])
        except Exception as error:
            raise LinkError("the connection broke: {}".format(error))
        if count is None:
            raise LinkError("the server fell silent")
        self._received += count
        elapsed_s = self._board.elapsed_ms(self._start_ms) // 1000
        if elapsed_s > self._timeout_s + self._received // SLOWEST_BYTES_PER_S:
            raise LinkError("the server is too slow")
        return count

    def line(self):
        """Read a line without its end; byte by byte, so that nothing after it is taken."""
        line = bytearray()
        while True:
            if not self.readinto(self._byte):
                raise LinkError("the connection closed in the middle of a line")
            if self._byte[0] == 0x0A:
                return bytes(line).rstrip(b"\r")
            line.extend(self._byte)
            if len(line) > LONGEST_LINE_BYTES:
                raise ServerError("the server sent a line that is too long")

    def close(self):
        """Close the connection, whatever state it is in."""
        if self._socket:
            try:
                self._socket.close()
            except OSError:
                pass  # closed by the other side already
            self._socket = None
