"""One line for each request, written in batches."""

from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

# More lines than this in a second are written at once.
_MAX_LINES = 5_000


class AccessLog:
    """Collects lines and logs them once a second as one event.

    An event for each line would take as long as the request itself.

    Args:
        clock: gives the time.
    """

    log = Logger()

    def __init__(self, clock: Any) -> None:
        self._lines: list[str] = []
        self._flushing = LoopingCall(self.flush)
        self._flushing.clock = clock

    def start(self) -> None:
        """Begin to write."""
        self._flushing.start(1, now=False)

    def stop(self) -> None:
        """Write what is left."""
        if self._flushing.running:
            self._flushing.stop()
        self.flush()

    def add(self, line: str) -> None:
        """Take a line, which ends without a line feed."""
        self._lines.append(line)
        if len(self._lines) >= _MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write the lines collected so far."""
        if self._lines:
            lines, self._lines = self._lines, []
            self.log.info("{lines}", lines="\n".join(lines))


def quotable(raw: bytes) -> str:
    """Make text of what a client sent safe to print between quotes.

    Args:
        raw: what was sent.
    """
    text = raw.decode("ascii", "backslashreplace")
    if text.isprintable() and '"' not in text:
        return text
    return text.encode("unicode_escape").decode().replace('"', '\\"')
