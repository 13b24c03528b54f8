"""Deciding whether something on disk has been left alone for long enough to be offered.

A release is copied into the tree file by file, and devices must never see half of
it. So it counts only once the newest change in it (``ctime``, which every write,
rename or change of mode sets) is older than the settle time.

That compares the file system's clock with the computer's, and a small computer may
have no battery for its clock: it boots in the past, and then every file seems to
come from the future. For these the clocks are not compared. The change time is only
watched, and settles when it has stayed the same for the settle time on a monotonic
clock. Time that is set back or forward can so delay an offer, but not make one early
by more than the files' own times were wrong.
"""

from collections.abc import Callable


class Settling:
    """Remembers, from scan to scan, how long changes have been watched.

    Args:
        settle_s: how long something must have been left alone, in seconds; with 0,
            everything is settled.
        wall_s: the clock that file systems stamp with, in seconds since 1970.
        monotonic_s: a clock that is never set, in seconds.
    """

    def __init__(
        self, settle_s: float, wall_s: Callable[[], float], monotonic_s: Callable[[], float]
    ) -> None:
        self._settle_s = settle_s
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        # When a change whose time lies in the future was first seen, by path.
        self._seen: dict[str, tuple[int, float]] = {}
        self._seen_before: dict[str, tuple[int, float]] = {}

    def is_settled(self, path: str, changed_ns: int) -> bool:
        """Decide about one release, or one file beside releases.

        Args:
            path: what it is about.
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
        """Forget whatever the scan that ends here did not ask about."""
        self._seen_before, self._seen = self._seen, {}
