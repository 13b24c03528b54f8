"""Deciding whether something on disk has been left unchanged for long enough to be offered.

A release is copied into the tree file by file, and devices must never see half of
it. So it is offered only once the latest change in it (``ctime``, which is set by
every write, rename or change of mode) is older than the settle time.

That compares file times with the system clock. A small computer may have no battery
for its clock: it boots with a time in the past, and every file seems to come from the
future. For such files the clocks are not compared; instead, the file's change time
must stay the same for the whole settle time, measured on a monotonic clock. Setting
the clock can therefore delay an offer, but it can't bring one forward by more than
the files' own times were wrong.
"""

from collections.abc import Callable


class Settling:
    """Tracks, across scans, how long the latest changes have been known.

    Args:
        settle_s: how long something must have been left unchanged, in seconds; 0 to
            treat everything as settled.
        wall_s: the clock that file times are taken from, in seconds since 1970.
        monotonic_s: a clock that is never set, in seconds.
    """

    def __init__(
        self, settle_s: float, wall_s: Callable[[], float], monotonic_s: Callable[[], float]
    ) -> None:
        self._settle_s = settle_s
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        # By path: a change time in the future, and when it was first seen.
        self._seen: dict[str, tuple[int, float]] = {}
        self._seen_before: dict[str, tuple[int, float]] = {}

    def is_settled(self, path: str, changed_ns: int) -> bool:
        """Decide whether a release, or a file next to releases, has settled.

        Args:
            path: its path, which identifies it across scans.
            changed_ns: when anything in it last changed, in nanoseconds since 1970.

        Returns:
            Whether it may be offered.
        """
        age_s = self._wall_s() - changed_ns / 1e9
        if age_s >= self._settle_s or self._settle_s == 0:
            return True
        if age_s >= 0:
            return False
        seen = self._seen_before.get(path)
        if seen is None or seen[0] != changed_ns:
            seen = (changed_ns, self._monotonic_s())
        self._seen[path] = seen
        return self._monotonic_s() - seen[1] >= self._settle_s

    def end_scan(self) -> None:
        """End a scan: forget the paths that it did not ask about."""
        self._seen_before, self._seen = self._seen, {}
