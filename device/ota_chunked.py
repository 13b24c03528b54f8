"""The body of a response that comes in chunks (RFC 9112, section 7.1)."""

from ota_answer import header_lines
from ota_errors import LinkError, ServerError

HEX_DIGITS = "0123456789abcdefABCDEF"


class Chunked:
    """The stream of such a body.

    Args:
        keeper: an HTTP that keeps the connection after the body, None to close it.
        connection: the Connection that it comes from.
    """

    def __init__(self, keeper, connection):
        self._keeper = keeper
        self._connection = connection
        self._left = None  # in this chunk; None before the first one
        self._ended = False

    def readinto(self, view):
        """Read into a buffer; return the number of bytes, 0 at the end.

        Args:
            view: the buffer.
        """
        if not self._left and not self._ended:
            self._begin_chunk()
        if self._ended:
            return 0
        count = self._connection.readinto(memoryview(view)[: min(len(view), self._left)])
        if not count:
            raise LinkError("the response ended in the middle of a chunk")
        self._left -= count
        return count

    def close(self):
        """Keep the connection if the body was read to its end, else close it."""
        if self._keeper and self._ended:
            self._keeper.keep(self._connection)
        else:
            self._connection.close()
        self._keeper = None

    def _begin_chunk(self):
        if self._left is not None and self._connection.line():
            raise ServerError("the server sent a chunk that is longer than it says")
        self._left = self._size(self._connection.line(True))
        if not self._left:
            for _ in header_lines(self._connection):
                pass  # trailers
            self._ended = True

    def _size(self, line):
        try:
            digits = str(line.split(b";", 1)[0].strip(), "utf-8")
        except ValueError:
            digits = ""
        if not digits or digits.strip(HEX_DIGITS) or len(digits.lstrip("0")) > 10:
            raise ServerError("the server sent a chunk without a valid size")
        return int(digits, 16)
