"""Deciding whether something on disk has been left unchanged for long enough to be offered.

A release is copied into the tree file by file, and devices must never see half of it. So it
is offered only once nothing in it has changed for the settle time.

How it works. Each scan takes a fingerprint of what it sees, in which every size and time
counts. What has the same fingerprint in scan after scan, for the settle time on a monotonic
clock, has settled. That needs no wall clock, so it holds while a vehicle's clock is set, in
either direction: set back in the middle of a copy, for instance, it makes the files that
were copied first the latest ones for a while, and only the fingerprint shows the others.

The first scan has nothing to compare with. So that a restart does not withhold everything
for the settle time, what changed longer ago than that by the wall clock counts as settled
there: both by the clock as it is now and as it was when the server started, since a first
scan can take minutes. A file from the future (a small computer boots with a time in the past)
proves nothing, and is watched for the settle time like any other.

Why it is safe. After the first scan, a change is seen as such whatever the clocks say. In
the first, the wall clock misleads only if it was set forward less than the settle time before
the server started, in a pause of a copy.
"""

from collections.abc import Callable


class Settling:
    """Tracks, across scans, since when things have been as they are.

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
        # By path: a fingerprint, and when it settles, on the monotonic clock.
        self._seen: dict[str, tuple[int, float]] = {}
        self._seen_before: dict[str, tuple[int, float]] = {}
        self._is_first_scan = True
        self._wall_ahead_s = wall_s() - monotonic_s()

    def is_settled(self, path: str, fingerprint: int, changed_ns: int) -> bool:
        """Decide whether a release, or a file next to releases, has settled.

        Args:
            path: its path, which identifies it across scans.
            fingerprint: a number that differs if anything in it has changed.
            changed_ns: when anything in it last changed, in nanoseconds since 1970.

        Returns:
            Whether it may be offered.
        """
        if self._settle_s == 0:
            return True
        now_s = self._monotonic_s()
        seen = self._seen_before.get(path)
        if seen is None or seen[0] != fingerprint:
            is_old = self._is_first_scan and self._age_s(changed_ns) >= self._settle_s
            seen = (fingerprint, now_s if is_old else now_s + self._settle_s)
        self._seen[path] = seen
        return now_s >= seen[1]

    def _age_s(self, changed_ns: int) -> float:
        """How long ago something changed, at least, if the wall clock was set once by now."""
        now_s = min(self._wall_s(), self._monotonic_s() + self._wall_ahead_s)
        return now_s - changed_ns / 1e9

    def end_scan(self) -> None:
        """End a scan: forget the paths that it did not ask about."""
        self._seen_before, self._seen = self._seen, {}
        self._is_first_scan = False
