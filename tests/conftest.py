"""What all tests share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.http import Bench
from tests.support.trees import SMALL_TREE, write_tree

settings.register_profile("suite", deadline=None, max_examples=80)
settings.load_profile("suite")


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
