"""Work that may wait for a disk: in threads of its own, and within limits.

How it works. Each piece of work belongs to a file. At most `_MAX_THREADS` pieces run at a time,
and of one file at most `_MAX_PER_FILE`; the others wait in the order in which they were asked for.
Whoever asked is told `DiskBusy` when `timeout_s` has passed, or at once if too many are waiting.

Why it is safe. A system call that hangs can't be interrupted, so its thread is lost until
the disk answers again. These threads do nothing else: hashes, manifests and pages are made
by others. A single file that can't be read, as on a disk with a bad sector, takes up two
of them, and the other files have the rest. When a piece of work ends that nobody waits for,
whoever asked is told so after all, to release what it holds: descriptors, above all.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from itertools import takewhile
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from otaserver.clock import Clock
from otaserver.errors import OTAServerError
from otaserver.worker import Worker

_T = TypeVar("_T")

MAX_THREADS = 8
_MAX_PER_FILE = 2

# Work that runs for longer says that the disk does not answer.
_SLOW_S = 1.0

_CHECK_S = 1.0

# Work that has run for so long waits for the disk. Threads that don't would only wait for
# each other, and for the reactor's, because Python runs one of them at a time.
_WAITS_S = 0.01


class DiskBusy(OTAServerError):
    """The disk does not answer, or not fast enough for all who ask."""

    def __init__(self) -> None:
        super().__init__("The disk that holds the file does not answer; try again.")


class _Work(Generic[_T]):
    """Something to do.

    Attributes:
        file: the file that it is about.
        do: does it.
        late: takes the result if nobody waits for it any more.
        asked_s: when it was asked for.
        began_s: when it began; only set then.
        answer: whoever waits; None if nobody does.
    """

    __slots__ = ("answer", "asked_s", "began_s", "do", "file", "late")

    def __init__(
        self, file: str, do: Callable[[], _T], late: Callable[[_T | None], Any], asked_s: float
    ) -> None:
        self.file = file
        self.do = do
        self.late = late
        self.asked_s = self.began_s = asked_s
        self.answer: Deferred[_T] | None = Deferred()


class Disk:
    """Does what may wait for the disk.

    Args:
        clock: says how long something has taken.
        worker: has `MAX_THREADS` threads for this alone.
        timeout_s: how long somebody waits for the disk, in seconds.
        max_waiting: how many may wait.
    """

    def __init__(self, clock: Clock, worker: Worker, timeout_s: float, max_waiting: int) -> None:
        self._clock = clock
        self._worker = worker
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        # In the order of asking, and of beginning.
        self._waited_for: dict[_Work[Any], None] = {}
        self._running: dict[_Work[Any], None] = {}
        self._ready: deque[_Work[Any]] = deque()
        # What waits for other work on the same file, and how much of that there is.
        self._held: defaultdict[str, deque[_Work[Any]]] = defaultdict(deque)
        self._per_file: Counter[str] = Counter()
        self._is_checking = self._is_looking_again = False

    @property
    def answers(self) -> bool:
        """Whether nothing that runs has taken long."""
        for oldest in self._running:
            return self._clock.seconds() - oldest.began_s < _SLOW_S
        return True

    def check_room(self, waiting: int = 0) -> None:
        """Check that one more may wait.

        Args:
            waiting: how many wait besides those whom `run` knows of.

        Raises:
            DiskBusy: too many are waiting.
        """
        if len(self._waited_for) + waiting >= self._max_waiting:
            raise DiskBusy

    def run(
        self, file: str, do: Callable[[], _T], late: Callable[[_T | None], Any]
    ) -> "Deferred[_T]":
        """Do something in a thread.

        Args:
            file: the file that it is about.
            do: does it.
            late: is called if the Deferred has failed with `DiskBusy`, once the work has
                ended: with its result, or None if it has none.

        Returns:
            Fires with the result, or fails with what was raised, or with `DiskBusy`.

        Raises:
            DiskBusy: too many are waiting.
        """
        self.check_room()
        work = _Work(file, do, late, self._clock.seconds())
        assert work.answer is not None
        answer = work.answer
        self._waited_for[work] = None
        self._watch()
        self._queue(work)
        return answer

    def run_unwatched(self, file: str, do: Callable[[], Any]) -> None:
        """Do something in a thread that nobody waits for, whatever else is waiting.

        Args:
            file: the file that it is about.
            do: does it.
        """
        work: _Work[Any] = _Work(file, do, lambda _: None, self._clock.seconds())
        self._queue(work)

    def _queue(self, work: _Work[Any]) -> None:
        if self._per_file[work.file] < _MAX_PER_FILE:
            self._per_file[work.file] += 1
            self._ready.append(work)
            self._begin()
        else:
            self._held[work.file].append(work)

    def _begin(self) -> None:
        """Hand work to threads that are free."""
        while self._ready and self._has_free_thread():
            work = self._ready.popleft()
            work.began_s = self._clock.seconds()
            self._running[work] = None
            self._worker.run(work.do).addBoth(self._end, work)

    def _has_free_thread(self) -> bool:
        """Whether a thread may begin: another one only if those that run wait for the disk."""
        running = len(self._running)
        if running >= MAX_THREADS:
            return False
        newest = next(reversed(self._running), None)
        if newest is None or self._clock.seconds() - newest.began_s >= _WAITS_S:
            return True
        if not self._is_looking_again:
            self._is_looking_again = True
            self._clock.callLater(_WAITS_S, self._look_again)
        return False

    def _look_again(self) -> None:
        self._is_looking_again = False
        self._begin()

    def _pass_on(self, file: str) -> None:
        """Let the next piece of work on the same file take its turn."""
        held = self._held.get(file)
        if held:
            self._ready.append(held.popleft())
            if not held:
                del self._held[file]
            return
        self._per_file[file] -= 1
        if not self._per_file[file]:
            del self._per_file[file]

    def _end(self, result: Any, work: _Work[Any]) -> None:
        del self._running[work]
        self._waited_for.pop(work, None)
        self._pass_on(work.file)
        answer, work.answer = work.answer, None
        if answer is not None:
            answer.callback(result)
        else:
            work.late(None if isinstance(result, Failure) else result)
        self._begin()

    def _watch(self) -> None:
        if not self._is_checking:
            self._is_checking = True
            self._clock.callLater(_CHECK_S, self._check)

    def _check(self) -> None:
        """Tell those who have waited long enough."""
        self._is_checking = False
        now_s = self._clock.seconds()
        given_up = list(
            takewhile(lambda work: now_s - work.asked_s >= self._timeout_s, self._waited_for)
        )
        if given_up:
            # First, because those who are told may ask for something else at once.
            self._drop(set(given_up))
        for work in given_up:
            self._give_up(work)
        if self._waited_for:
            self._watch()

    def _drop(self, given_up: set[_Work[Any]]) -> None:
        """Take work out of the queues: while all threads hang, it would only pile up there."""
        for work in given_up:
            del self._waited_for[work]
        for file, held in list(self._held.items()):
            self._held[file] = deque(work for work in held if work not in given_up)
            if not self._held[file]:
                del self._held[file]
        ready = self._ready
        self._ready = deque(work for work in ready if work not in given_up)
        for work in ready:
            if work in given_up:
                self._pass_on(work.file)

    def _give_up(self, work: _Work[Any]) -> None:
        answer, work.answer = work.answer, None
        if answer is not None:
            answer.errback(DiskBusy())
        if work not in self._running:
            work.late(None)
