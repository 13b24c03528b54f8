"""Whether a transfer still makes progress."""


class StallDetector:
    """Watches how much of a transfer has arrived.

    A reader that takes a byte a second is as bad as one that takes none, so what
    counts is a rate, over a window long enough for a bad link to recover.

    Args:
        now_s: when the transfer began, in seconds.
        window_s: how long the rate may stay too low, in seconds.
        min_rate: the lowest rate, in bytes per second.
    """

    __slots__ = ("_bytes_before", "_min_bytes", "_since_s", "_window_s")

    def __init__(self, now_s: float, window_s: float, min_rate: float) -> None:
        self._window_s = window_s
        self._min_bytes = window_s * min_rate
        self._since_s = now_s
        self._bytes_before = 0

    def is_stalled(self, now_s: float, delivered_bytes: int) -> bool:
        """Decide whether to give the transfer up.

        Args:
            now_s: the time, in seconds.
            delivered_bytes: how much has arrived since the transfer began.

        Returns:
            Whether a whole window has passed with too little arriving.
        """
        if now_s - self._since_s < self._window_s:
            return False
        is_stalled = delivered_bytes - self._bytes_before < self._min_bytes
        self._since_s, self._bytes_before = now_s, delivered_bytes
        return is_stalled
