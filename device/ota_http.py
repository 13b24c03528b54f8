"""HTTP/1.1 as an update needs it: GET, from an offset (RFC 9110, RFC 9112)."""

from ota_errors import LinkError, ServerError
from ota_socket import Connection

MOST_HEADERS = 64
LONGEST_WAIT_S = 300


class HTTP:
    """Opens paths of one server, each over a connection of its own."""

    def __init__(self, host, port, timeout_s, board):
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._board = board

    def open(self, path, offset):
        """Return a stream of what is at ``path``, from ``offset`` on."""
        connection = Connection(self._host, self._port, self._timeout_s, self._board)
        try:
            connection.send(self._request(path, offset))
            return _Body(connection, *_answer(connection, path, offset))
        except Exception:
            connection.close()
            raise

    def close(self):
        """Nothing stays open between two requests."""

    def _request(self, path, offset):
        host = "[{}]".format(self._host) if ":" in self._host else self._host
        lines = [
            "GET {} HTTP/1.1".format(path),
            "Host: {}:{}".format(host, self._port),
            "Accept-Encoding: identity",
            "Connection: close",
        ]
        if offset:
            lines.append("Range: bytes={}-".format(offset))
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Body:
    """The bytes of an answer: as many as it announced, less those to pass over."""

    def __init__(self, connection, length, skip):
        self._connection = connection
        self._left = length
        scratch = memoryview(bytearray(min(256, skip)))
        while skip:
            skip -= self.readinto(scratch[: min(256, skip)])

    def readinto(self, view):
        if not self._left:
            return 0
        count = self._connection.readinto(memoryview(view)[: self._left])
        if not count:
            raise LinkError("the answer ended {} bytes too soon".format(self._left))
        self._left -= count
        return count

    def close(self):
        self._connection.close()


def _answer(connection, path, offset):
    """Read status and headers; return the body's length, and how much of it to pass over."""
    status = _status(connection)
    length, start, retry_after_s = _head(connection)
    if status >= 500:
        raise LinkError("the server answered {} for {}".format(status, path), retry_after_s)
    if status not in (200, 206):
        raise ServerError("the server answered {} for {}".format(status, path))
    if length is None:
        raise ServerError("the server did not say how long {} is".format(path))
    if status == 206:
        if start != offset:
            raise ServerError("the server sent another range of {} than asked for".format(path))
        return length, 0
    # It ignored the range, as it may: what is here already comes again.
    if length < offset:
        raise ServerError("{} is shorter than what came of it before".format(path))
    return length, offset


def _head(connection):
    """Return what the headers say: length, start of the range, seconds to wait."""
    length = start = None
    retry_after_s = 0
    for name, value in _headers(connection):
        if name == "content-length":
            length = _number(value)
        elif name == "content-range":
            start = _range_start(value)
        elif name == "retry-after" and value.isdigit():
            retry_after_s = min(int(value), LONGEST_WAIT_S)
        elif name in ("transfer-encoding", "content-encoding"):
            raise ServerError("the server answered in an encoding that wasn't asked for")
    return length, start, retry_after_s


def _status(connection):
    parts = connection.line().split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise ServerError("the server does not speak HTTP")
    return int(parts[1])


def _headers(connection):
    for _ in range(MOST_HEADERS):
        line = connection.line()
        if not line:
            return
        name, _, value = line.partition(b":")
        try:
            yield str(name, "utf-8").lower(), str(value.strip(), "utf-8")
        except ValueError:
            pass  # no header that matters here
    raise ServerError("the server sent too many headers")


def _number(value):
    if not value.isdigit() or len(value) > 12:
        raise ServerError("the server sent a Content-Length that is none")
    return int(value)


def _range_start(value):
    unit, _, span = value.partition(" ")
    start = span.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdigit() and len(start) <= 12 else None
