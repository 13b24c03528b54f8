"""What a client has sent and the server has not taken yet."""

from collections.abc import Callable

from otaserver.http.head import Head, check_unfinished, parse_head

_HEAD_END = b"\r\n\r\n"


class Incoming:
    """The bytes of requests, from which whole requests are taken.

    How much waits here depends on what is added: the connection stops reading while a
    request waits.
    """

    __slots__ = ("_body_bytes", "_data", "_has_skipped_line", "_head", "_searched_bytes")

    def __init__(self) -> None:
        self._data = b""
        self._searched_bytes = 0
        self._has_skipped_line = False
        self._head: Head | None = None
        self._body_bytes = 0

    def __bool__(self) -> bool:
        """Whether anything waits here, be it a request or a part of one."""
        return bool(self._data) or self._head is not None

    def add(self, data: bytes) -> None:
        """Add what has arrived.

        Args:
            data: the bytes.
        """
        self._data = self._data + data if self._data else data

    def clear(self) -> None:
        """Forget everything: nothing more will be answered."""
        self._data = b""
        self._head = None

    def take_request(self, tell_to_continue: Callable[[], None]) -> Head | None:
        """Take the next request, without its body, which no request here needs.

        Args:
            tell_to_continue: called if the client waits to be told to send the body.

        Returns:
            Its head; None if not all of it has arrived.

        Raises:
            OTAServerError: it is malformed or too large.
        """
        if self._head is None:
            self._head = self._take_head()
            if self._head is None:
                return None
            if self._head.expects_continue:
                tell_to_continue()
        if self._body_bytes:
            skipped = min(self._body_bytes, len(self._data))
            self._data = self._data[skipped:]
            self._body_bytes -= skipped
            if self._body_bytes:
                return None
        head, self._head = self._head, None
        return head

    def _take_head(self) -> Head | None:
        data = self._data
        if data.startswith(b"\r\n") and not self._has_skipped_line:
            # Some clients send an empty line after a request (RFC 9112, section 2.2).
            self._has_skipped_line = True
            self._data = data = data[2:]
        end = data.find(_HEAD_END, self._searched_bytes)
        if end < 0:
            check_unfinished(data)
            self._searched_bytes = max(0, len(data) - len(_HEAD_END) + 1)
            return None
        head = parse_head(data[: end + 2])
        self._data = data[end + len(_HEAD_END) :]
        self._searched_bytes = 0
        self._has_skipped_line = False
        self._body_bytes = head.body_bytes
        return head
