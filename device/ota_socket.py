"""A TCP connection with time-outs, a minimum pace and bounded lines."""

try:
    import select
except ImportError:
    import uselect as select

from ota_errors import LinkError, ServerError

LONGEST_LINE_BYTES = 1024
LONGEST_SKIPPED_BYTES = 131072
# A connection that is slower on average counts as stalled.
SLOWEST_BYTES_PER_S = 32
AHEAD_BYTES = 128
# The longest wait without feeding the watchdog.
SLICE_MS = 1000


def wait(poll, timeout_s, board):
    """Wait until there is an event, feeding the watchdog meanwhile; return the events.

    Args:
        poll: of the module select.
        timeout_s: how long to wait at most.
        board: for the watchdog.
    """
    left_ms = int(timeout_s * 1000)
    found = poll.poll(min(left_ms, SLICE_MS))
    while not found and left_ms > SLICE_MS:
        board.feed_watchdog()
        left_ms -= SLICE_MS
        found = poll.poll(min(left_ms, SLICE_MS))
    return found


class Connection:
    """One connection. Every socket error becomes a LinkError.

    Args:
        host: address or name; each of the addresses of a name is tried.
        port: TCP port.
        timeout_s: time-out of connecting to an address and of each read.
        board: for the clock and the watchdog.
        peer: the (family, address) to take, None for those of the host.
    """

    def __init__(self, host, port, timeout_s, board, peer=None):
        from ota_connect import connect

        self._timeout_s = timeout_s
        self._board = board
        self._ahead = None  # what line() read ahead; no buffer where no lines are read
        self._at = self._end = 0
        self._socket, self.peer = connect(host, port, timeout_s, board, peer)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        name = "readinto" if hasattr(self._socket, "readinto") else "recv_into"
        self._readinto = getattr(self._socket, name)
        self.restart_clock()

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

    def line(self, skips=False):
        """Return the next line without its line end; ServerError if it is too long.

        Args:
            skips: whether to skip the rest of a long line instead.
        """
        line = bytearray()
        if not self._ahead:
            self._ahead = bytearray(AHEAD_BYTES)
        for _ in range(LONGEST_SKIPPED_BYTES):
            if self._at == self._end:
                self._at = 0
                self._end = self._receive(self._ahead)
                if not self._end:
                    raise LinkError("the connection closed in the middle of a line")
            byte = self._ahead[self._at]
            self._at += 1
            if byte == 0x0A:
                return bytes(line).rstrip(b"\r")
            if len(line) < LONGEST_LINE_BYTES:
                line.append(byte)
            elif not skips:
                break
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
                if not wait(self._poll, self._timeout_s, self._board):
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
