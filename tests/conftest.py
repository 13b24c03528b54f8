"""What all tests share.

A test that starts a process or opens a connection is marked ``real``; ``make check`` leaves
those out. One that does so without the mark fails, wherever it is run.
"""

import gc
import os
import sys
from collections.abc import Callable, Generator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.http import Bench
from tests.support.trees import SMALL_TREE, write_tree

# What Python tells its audit hooks of processes and connections, see the library reference.
REAL = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.system", "socket.bind"}
REAL |= {"socket.connect"}

# How many workers there are beside one for each core.
WAITING_WORKERS = 2

# The property of a test's report with what is to be read beside the dots.
TOLD_AT_THE_END = "told at the end"

settings.register_profile("suite", deadline=None, max_examples=80)
settings.load_profile("suite")


class InMemory:
    """Refuses processes and connections while a test runs that is not marked ``real``."""

    name = ""

    def __init__(self) -> None:
        # Python has no way to take a hook out again: there is one for all tests.
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.name and event in REAL:
            raise AssertionError(f"{self.name} is to be marked real: {event} {arguments}")


in_memory = InMemory()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    in_memory.name = "" if item.get_closest_marker("real") else item.nodeid
    try:
        return (yield)
    finally:
        in_memory.name = ""


# Without xdist nobody calls it.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    # More than there are cores: many tests wait for a time-out or for a server of their own.
    return (os.cpu_count() or 1) + WAITING_WORKERS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # xdist gives each worker one stretch of the list. They end together if none has all the long
    # tests, and none has one of them last.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    total = len(items)
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    items.clear()
    for worker in range(workers):
        its_long = long[worker::workers]
        stretch = (total - len(items)) // (workers - worker)
        items += [*its_long, *islice(others, max(0, stretch - len(its_long)))]


def pytest_collection_finish() -> None:
    # The device library collects garbage whenever it unloads a module, hundreds of times in a
    # test. What all the tests are made of is none, and isn't looked at again each time.
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # In a worker's output nobody would see it.
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, text in report.user_properties:
                if name == TOLD_AT_THE_END and report.when == "call":
                    terminalreporter.write(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for a release tree."""
    root = tmp_path / "tree"
    root.mkdir()
    return root


@pytest.fixture
def small_tree(root: Path) -> Path:
    """Two releases and a firmware."""
    return write_tree(root, SMALL_TREE)


@pytest.fixture
def bench(small_tree: Path) -> Bench:
    """A site over the small tree."""
    return Bench(small_tree)


@pytest.fixture
def bench_of(root: Path) -> Callable[..., Bench]:
    """Make a site over files given by path."""

    def make(files: dict[str, bytes], **options: Any) -> Bench:
        return Bench(write_tree(root, files), **options)

    return make


def open_descriptors() -> int:
    """Count the file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))
