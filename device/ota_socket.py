"""A TCP connection with time-outs, a minimum pace and bounded lines."""

try:
    import select
    import socket
except ImportError:
    import uselect as select
    import usocket as socket

from ota_errors import LinkError, ServerError

LONGEST_LINE_BYTES = 1024
# A connection that is slower on average counts as stalled.
SLOWEST_BYTES_PER_S = 32
AHEAD_BYTES = 128


class Connection:
    """One connection. Every socket error becomes a LinkError.

    Args:
        host: address or name.
        port: TCP port.
        timeout_s: time-out of connecting and of each read.
        board: for the clock and the watchdog.
    """

    def __init__(self, host, port, timeout_s, board):
        self._timeout_s = timeout_s
        self._board = board
        self._ahead = bytearray(AHEAD_BYTES)
        self._at = self._end = 0
        self._socket = None
        self.restart_clock()
        board.feed_watchdog()
        try:
            # Every port's connect() takes this form; it also resolves names.
            found = socket.getaddrinfo(host, port)[0]
            self._socket = socket.socket(found[0])
            self._socket.settimeout(timeout_s)
            self._socket.connect(found[-1])
            # From here on poll() waits. A read with a time-out waits for a full buffer,
            # so a server could block it for ever by sending a byte now and then.
            self._socket.setblocking(False)
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)
            name = "readinto" if hasattr(self._socket, "readinto") else "recv_into"
            self._readinto = getattr(self._socket, name)
        except Exception as error:  # on some ports TimeoutError is not an OSError
            self.close()
            raise LinkError("no connection to {}:{}: {}".format(host, port, error))

    def restart_clock(self):
        """Start a new exchange, whose pace is measured separately."""
        self._start_ms = self._board.ticks_ms()
        self._received = 0

    def send(self, data):
        """Send all of ``data``, which Pycom's sendall may not do."""
        try:
            while data:
                count = self._socket.send(data)
                if not count:
                    raise OSError("can't send")
                data = data[count:]
        except Exception as error:
            raise LinkError("the connection was lost: {}".format(error))

    def is_idle(self):
        """Return whether it is open and no unexpected data has arrived."""
        return self._at == self._end and not self._poll.poll(0)

    def readinto(self, view):
        """Read up to ``len(view)`` bytes; return how many, 0 at the end of the stream."""
        count = min(len(view), self._end - self._at)
        if not count:
            return self._receive(view)
        # Byte by byte: not every port can assign to a slice.
        for index in range(count):
            view[index] = self._ahead[self._at + index]
        self._at += count
        return count

    def line(self):
        """Return the next line without its line end; ServerError if it is too long."""
        line = bytearray()
        while True:
            if self._at == self._end:
                self._at = 0
                self._end = self._receive(self._ahead)
                if not self._end:
                    raise LinkError("the connection closed in the middle of a line")
            byte = self._ahead[self._at]
            self._at += 1
            if byte == 0x0A:
                return bytes(line).rstrip(b"\r")
            line.append(byte)
            if len(line) > LONGEST_LINE_BYTES:
                raise ServerError("the server sent a line that is too long")

    def close(self):
        """Close the connection in whatever state it is."""
        if self._socket:
            try:
                self._socket.close()
            except OSError:
                pass  # already closed by the other side
            self._socket = None

    def _receive(self, view):
        count = None
        while count is None:
            self._board.feed_watchdog()
            try:
                if not self._poll.poll(int(self._timeout_s * 1000)):
                    raise LinkError("the server fell silent")
                count = self._readinto(view)
            except (OSError, ValueError) as error:
                raise LinkError("the connection was lost: {}".format(error))
            self._check_pace(count or 0)
        return count

    def _check_pace(self, count):
        self._received += count
        elapsed_s = self._board.elapsed_ms(self._start_ms) // 1000
        if elapsed_s > self._timeout_s + self._received // SLOWEST_BYTES_PER_S:
            raise LinkError("the server is too slow")
