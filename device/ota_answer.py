"""Requests over HTTP/1.1, and the answers to them (RFC 9112).

What few answers need is in ota_odd_answer and in the modules that it loads.
"""

from ota_errors import LinkError, ServerError, is_number

MOST_HEADERS = 64
MOST_REDIRECTS = 3
# The headers that matter here.
KNOWN = (
    "connection", "content-encoding", "content-length", "content-range", "content-type",
    "location", "retry-after", "transfer-encoding",
)  # fmt: skip


def ask(http, path, offset):
    """Send a request and return the stream of its answer; follow redirects.

    Nothing is remembered of a redirect: the next request goes to the server again, and what
    arrives must match what was asked for, wherever it comes from.

    Args:
        http: an HTTP.
        path: path and query.
        offset: position of the first byte wanted.

    Raises LinkError or ServerError.
    """
    place, target = http.place, path
    for _ in range(MOST_REDIRECTS + 1):
        connection = http.connect(place)
        try:
            connection.send(_request(place, target, offset))
            status, headers = _head(connection)
            is_closing = "close" in headers.get("connection", "").lower()
            keeper = None if is_closing or place != http.place else http
            if _is_plain(status, headers, offset):
                return Body(keeper, connection, int(headers["content-length"]))
            from ota_odd_answer import body_or_place

            found = body_or_place(keeper, connection, status, headers, place, target, path, offset)
            if type(found) is not tuple:
                return found
        except Exception:
            connection.close()
            raise
        connection.close()
        place, target = found
    raise LinkError("{} is redirected too often".format(path))


class Body:
    """The stream of a body of known length.

    Args:
        keeper: an HTTP that keeps the connection after the body, None to close it.
        connection: the Connection that it comes from.
        left: its length in bytes.
    """

    def __init__(self, keeper, connection, left):
        self._keeper = keeper
        self._connection = connection
        self._left = left

    def readinto(self, view):
        """Read into a buffer; return the number of bytes, 0 at the end.

        Args:
            view: the buffer.
        """
        if not self._left:
            return 0
        count = self._connection.readinto(memoryview(view)[: min(len(view), self._left)])
        if not count:
            raise LinkError("the response ended {} bytes early".format(self._left))
        self._left -= count
        return count

    def close(self):
        """Keep the connection if the body was read to its end, else close it."""
        if self._keeper and not self._left:
            self._keeper.keep(self._connection)
        else:
            self._connection.close()
        self._keeper = None


def header_lines(connection):
    """Yield the lines up to the empty one. ServerError if there are too many.

    Args:
        connection: a Connection.
    """
    for _ in range(MOST_HEADERS + 1):
        line = connection.line(True)
        if not line:
            return
        yield line
    raise ServerError("the server sent too many headers")


def _request(place, target, offset):
    # The zone of an IPv6 address means something on this device only.
    host = place[0].split("%")[0]
    request = "GET {} HTTP/1.1\r\nHost: {}:{}\r\nAccept-Encoding: identity\r\n".format(
        target, "[{}]".format(host) if ":" in host else host, place[1]
    )
    if offset:
        request += "Range: bytes={}-\r\n".format(offset)
    return (request + "\r\n").encode()


def _head(connection):
    """Return the status and the headers of the answer, after those that only announce it."""
    for _ in range(MOST_HEADERS):
        parts = connection.line().split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            break
        headers = _headers(connection)
        if parts[0] != b"HTTP/1.1":
            headers["connection"] = "close"  # by default (RFC 9112, section 9.3)
        # 101 would be the answer to a wish for another protocol.
        if not parts[1].startswith(b"1") or parts[1] == b"101":
            return int(parts[1]), headers
    raise ServerError("the server does not speak HTTP")


def _headers(connection):
    """Return the headers that matter, by name; those that come twice are joined by commas."""
    found = {}
    for line in header_lines(connection):
        pair = line.split(b":", 1)
        try:
            name, value = str(pair[0], "utf-8").lower(), str(pair[-1].strip(), "utf-8")
        except ValueError:
            continue  # not a header that matters here
        if name in KNOWN:
            found[name] = found[name] + "," + value if name in found else value
    return found


def _is_plain(status, headers, offset):
    """Return whether this is what was asked for, and its length is known."""
    length = headers.get("content-length", "")
    if offset:
        expected = "bytes {}-".format(offset)
        is_wanted = status == 206 and headers.get("content-range", "").startswith(expected)
    else:
        is_wanted = status == 200
    return (
        is_wanted
        and is_number(length)
        and len(length) <= 12
        and "transfer-encoding" not in headers
        and "content-encoding" not in headers
        and "html" not in headers.get("content-type", "")
    )
