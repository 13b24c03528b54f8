"""What several test processes may do one at a time only."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def in_turn(lock: Path) -> Iterator[None]:
    """Keep other processes that name the same lock waiting until the block ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        # The lock goes with the process, however that ends.
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
