"""HTTP/1.1 downloads: GET from an offset (RFC 9110, RFC 9112)."""

from ota_errors import LinkError, ServerError, is_number
from ota_socket import Connection

MOST_HEADERS = 64
LONGEST_WAIT_S = 300
# Worth a retry: Request Timeout, Too Many Requests, and every status from 500 up.
BUSY = (408, 429)


class HTTP:
    """Downloads from one server; the connection is kept between requests.

    Args:
        host: address or name.
        port: TCP port.
        timeout_s: time-out of connecting and of each read.
        board: for the clock and the watchdog.
    """

    def __init__(self, host, port, timeout_s, board):
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._board = board
        self._kept = None

    def open(self, path, offset):
        """Return a stream; see OTA.open. Raises LinkError or ServerError."""
        if self._kept and not self._kept.is_idle():
            self.close()
        connection, self._kept = self._kept, None
        if connection:
            connection.restart_clock()
        else:
            connection = Connection(self._host, self._port, self._timeout_s, self._board)
        try:
            connection.send(self._request(path, offset))
            return _Body(self, connection, *_answer(connection, path, offset))
        except Exception:
            connection.close()
            raise

    def keep(self, connection):
        """Keep a connection for the next request.

        Args:
            connection: a Connection whose last response was read to its end.
        """
        self._kept = connection

    def close(self):
        """Close the connection that is kept between requests."""
        if self._kept:
            self._kept.close()
            self._kept = None

    def _request(self, path, offset):
        host = "[{}]".format(self._host) if ":" in self._host else self._host
        request = "GET {} HTTP/1.1\r\nHost: {}:{}\r\nAccept-Encoding: identity\r\n".format(
            path, host, self._port
        )
        if offset:
            request += "Range: bytes={}-\r\n".format(offset)
        return (request + "\r\n").encode()


class _Body:
    """The stream of a response's body, after the bytes to skip."""

    def __init__(self, http, connection, length, skip, stays):
        self._http = http if stays else None
        self._connection = connection
        self._left = length
        scratch = memoryview(bytearray(min(256, skip)))
        while skip:
            skip -= self.readinto(scratch[: min(256, skip)])

    def readinto(self, view):
        """Read into a buffer; return the number of bytes, 0 at the end."""
        if not self._left:
            return 0
        count = self._connection.readinto(memoryview(view)[: min(len(view), self._left)])
        if not count:
            raise LinkError("the response ended {} bytes early".format(self._left))
        self._left -= count
        return count

    def close(self):
        """Keep the connection if the body was read to its end, else close it."""
        if self._http and not self._left:
            self._http.keep(self._connection)
        else:
            self._connection.close()
        self._http = None


def _answer(connection, path, offset):
    """Return the body's length, the bytes to skip, and whether the connection stays open."""
    status, stays = _status(connection)
    busy = status >= 500 or status in BUSY
    length, start, retry_after_s, closes = _head(connection, busy)
    if busy:
        raise LinkError("the server answered {} for {}".format(status, path), retry_after_s)
    if status not in (200, 206):
        raise ServerError("the server answered {} for {}".format(status, path))
    if length is None:
        raise ServerError("the server sent no length for {}".format(path))
    if status == 206:
        if start != offset:
            raise ServerError("the server sent the wrong range of {}".format(path))
        return length, 0, stays and not closes
    # The server ignored the range, as RFC 9110 allows: skip what is already stored.
    if length < offset:
        raise ServerError("{} is shorter than the part received before".format(path))
    return length, offset, stays and not closes


def _head(connection, busy):
    """Return the body's length, the range's start, Retry-After in s, and whether it closes."""
    length = start = None
    retry_after_s = 0
    closes = False
    for name, value in _headers(connection):
        if name == "retry-after" and is_number(value):
            retry_after_s = min(int(value), LONGEST_WAIT_S)
        elif busy:
            pass  # nothing else matters: the connection is not reused
        elif name == "content-length":
            length = _number(value)
        elif name == "content-range":
            start = _range_start(value)
        elif name == "connection":
            closes = value.lower() == "close"
        elif name in ("transfer-encoding", "content-encoding"):
            raise ServerError("the server used an encoding that was not requested")
    return length, start, retry_after_s, closes


def _status(connection):
    """Return the status, and whether the connection stays open by default (RFC 9112, 9.3)."""
    parts = connection.line().split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise ServerError("the server does not speak HTTP")
    return int(parts[1]), parts[0] == b"HTTP/1.1"


def _headers(connection):
    for _ in range(MOST_HEADERS + 1):
        line = connection.line()
        if not line:
            return
        pair = line.split(b":", 1)
        try:
            yield str(pair[0], "utf-8").lower(), str(pair[-1].strip(), "utf-8")
        except ValueError:
            pass  # not a header that matters here
    raise ServerError("the server sent too many headers")


def _number(value):
    if not is_number(value) or len(value) > 12:
        raise ServerError("the server sent an invalid number in a header")
    return int(value)


def _range_start(value):
    words = value.replace("-", " ").split()
    if len(words) < 2 or words[0] != "bytes" or not is_number(words[1]):
        return None
    return int(words[1])
