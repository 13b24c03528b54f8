"""The wall clock of a server that runs in a process of its own, to be set while it runs."""

import os
import time
from pathlib import Path

_CUSTOMIZE = Path(__file__).with_name("settable_clock")


class WallClock:
    """A wall clock that a server started with its environment has.

    Args:
        path: a file in which to keep how far the clock is ahead.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ahead_s = 0.0
        self.set_ahead(0)

    def environment(self) -> dict[str, str]:
        """What a server must have in its environment besides the usual."""
        return {
            "OTASERVER_TEST_CLOCK": str(self._path),
            "PYTHONPATH": str(_CUSTOMIZE),
        }

    def set_ahead(self, seconds: float) -> None:
        """Set the clock to so many seconds after the true time, or before it."""
        # At once: the server may read it at any moment.
        written = self._path.with_suffix(".new")
        written.write_text(str(seconds), encoding="ascii")
        os.replace(written, self._path)
        self._ahead_s = seconds

    def seconds(self) -> float:
        """What the clock shows, in seconds since 1970."""
        return time.time() + self._ahead_s
