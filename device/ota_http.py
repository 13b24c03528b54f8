"""HTTP/1.1 as an update needs it: GET, from an offset (RFC 9110, RFC 9112)."""

from ota_errors import LinkError, ServerError, is_number
from ota_socket import Connection

MOST_HEADERS = 64
LONGEST_WAIT_S = 300
# Not now: request time-out, too many requests; and all from 500 on.
BUSY = (408, 429)


class HTTP:
    """Opens paths of one server; a connection stays open between two requests."""

    def __init__(self, host, port, timeout_s, board):
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._board = board
        self._kept = None

    def open(self, path, offset):
        """Return a stream of what is at ``path``, from ``offset`` on."""
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
        """Take a connection back whose answer was read to its end."""
        self._kept = connection

    def close(self):
        """Close the connection that stays open between two requests."""
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
    """The bytes of an answer: as many as it announced, less those to pass over."""

    def __init__(self, http, connection, length, skip, stays):
        self._http = http if stays else None
        self._connection = connection
        self._left = length
        scratch = memoryview(bytearray(min(256, skip)))
        while skip:
            skip -= self.readinto(scratch[: min(256, skip)])

    def readinto(self, view):
        if not self._left:
            return 0
        count = self._connection.readinto(memoryview(view)[: min(len(view), self._left)])
        if not count:
            raise LinkError("the answer ended {} bytes too soon".format(self._left))
        self._left -= count
        return count

    def close(self):
        if self._http and not self._left:
            self._http.keep(self._connection)
        else:
            self._connection.close()
        self._http = None


def _answer(connection, path, offset):
    """Return the body's length, how much to pass over, whether the connection stays open."""
    status, stays = _status(connection)
    busy = status >= 500 or status in BUSY
    length, start, retry_after_s, closes = _head(connection, busy)
    if busy:
        raise LinkError("the server answered {} for {}".format(status, path), retry_after_s)
    if status not in (200, 206):
        raise ServerError("the server answered {} for {}".format(status, path))
    if length is None:
        raise ServerError("the server did not say how long {} is".format(path))
    if status == 206:
        if start != offset:
            raise ServerError("the server sent another range of {} than asked for".format(path))
        return length, 0, stays and not closes
    # It ignored the range, as it may: what is here already comes again.
    if length < offset:
        raise ServerError("{} is shorter than what came of it before".format(path))
    return length, offset, stays and not closes


def _head(connection, busy):
    """Return what the headers say: length, start of the range, seconds to wait, the end."""
    length = start = None
    retry_after_s = 0
    closes = False
    for name, value in _headers(connection):
        if name == "retry-after" and is_number(value):
            retry_after_s = min(int(value), LONGEST_WAIT_S)
        elif busy:
            pass  # nothing else matters: its connection is not used again
        elif name == "content-length":
            length = _number(value)
        elif name == "content-range":
            start = _range_start(value)
        elif name == "connection":
            closes = value.lower() == "close"
        elif name in ("transfer-encoding", "content-encoding"):
            raise ServerError("the server answered in an encoding that wasn't asked for")
    return length, start, retry_after_s, closes


def _status(connection):
    """Return the status, and whether the connection stays open unless a header denies it."""
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
            pass  # no header that matters here
    raise ServerError("the server sent too many headers")


def _number(value):
    if not is_number(value) or len(value) > 12:
        raise ServerError("the server sent a number in a header that is none")
    return int(value)


def _range_start(value):
    words = value.replace("-", " ").split()
    if len(words) < 2 or words[0] != "bytes" or not is_number(words[1]):
        return None
    return int(words[1])
