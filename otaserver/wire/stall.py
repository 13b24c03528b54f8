"""Whether the reader of an answer still makes progress.

How it works. What can be seen from here is what the reader's kernel has acknowledged, not
what the reader has read. A kernel whose buffer is full says nothing until a good part of it
is free: on Linux a sixteenth, or a whole segment, which on loopback is 64 KB. A healthy
reader at 500 bytes a second may be silent for minutes. So the detector keeps an
account: what arrives is paid in, the lowest acceptable rate is paid out all the time, and
the reader is given up when the account is overdrawn by what a whole window would cost. No
more is kept in it than such a leap of the reader's kernel, so a fast beginning does not
excuse a stall for long.

Why it is safe. Let the reader read at the lowest rate or faster. While its buffer is full,
what arrives is what it reads, late by a leap at most; while it is not, what arrives is
what the link carries. So since the account was last full, what was paid out exceeds what
was paid in by a leap at most, which was in the account: it never falls below zero, and
the window is left to bad links. A reader that is slower than that overdraws it sooner
or later; one that stopped does so when the leap would have been read at the lowest
rate, and a window after that.
"""

# What a reader's kernel is assumed to hold at most if it never told.
_MAX_HELD_BYTES = 1 << 23

# A kernel tells of free room when this part of its buffer is free, or two segments.
# Linux waits for less; others for two segments (RFC 9293, section 3.8.6.2.2).
_LEAP_PARTS = 4
_LEAP_SEGMENTS = 2


class StallDetector:
    """Watches how much of a transfer has arrived.

    Args:
        now_s: when the transfer began, in seconds.
        window_s: how long nothing may arrive though the reader has nothing unread, in seconds.
        min_rate: the lowest rate, in bytes per second; 0 for none.
    """

    __slots__ = ("_account_bytes", "_arrived_bytes", "_checked_s", "_held_bytes", "_min_rate",
                 "_window_bytes")  # fmt: skip

    def __init__(self, now_s: float, window_s: float, min_rate: float) -> None:
        self._min_rate = min_rate
        self._window_bytes = window_s * min_rate
        self._checked_s = now_s
        self._arrived_bytes = 0
        self._held_bytes = 0
        self._account_bytes = 0.0

    def is_stalled(
        self, now_s: float, arrived_bytes: int, room_bytes: int, segment_bytes: int
    ) -> bool:
        """Decide whether to give the transfer up.

        Args:
            now_s: the time, in seconds.
            arrived_bytes: how much has arrived, all told.
            room_bytes: for how much more the reader's kernel has room; 0 if it has none, or
                if that is not known.
            segment_bytes: the largest segment of the connection; 0 if that is not known.

        Returns:
            Whether too little has arrived for too long.
        """
        paid_in = arrived_bytes - self._arrived_bytes
        paid_out = (now_s - self._checked_s) * self._min_rate
        self._checked_s, self._arrived_bytes = now_s, arrived_bytes
        held_bytes = room_bytes
        if room_bytes <= _LEAP_SEGMENTS * segment_bytes:
            # It is almost full: all that has just arrived may be unread.
            held_bytes += min(paid_in, _MAX_HELD_BYTES)
        self._held_bytes = max(self._held_bytes, held_bytes)
        leap_bytes = max(self._held_bytes // _LEAP_PARTS, _LEAP_SEGMENTS * segment_bytes)
        most_bytes = min(leap_bytes, self._held_bytes) if segment_bytes else self._held_bytes
        self._account_bytes = min(self._account_bytes + paid_in - paid_out, most_bytes)
        return self._min_rate > 0 and self._account_bytes <= -self._window_bytes
