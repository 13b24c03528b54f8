"""Gives a process a wall clock that a test sets: Python imports this when it starts.

The clock is ahead by the number of seconds in the file that the environment names. It has to
be here before anything else is, because modules keep ``time.time`` under names of their own.
"""

import os
import time

_ahead_path = os.environ["OTASERVER_TEST_CLOCK"]
_true_s = time.time


def _wall_s() -> float:
    with open(_ahead_path, encoding="ascii") as file:
        return _true_s() + float(file.read())


time.time = _wall_s
time.time_ns = lambda: int(_wall_s() * 1e9)
