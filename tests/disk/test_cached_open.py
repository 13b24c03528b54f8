"""Opening what the kernel has in memory."""

import os
from pathlib import Path

import pytest

from otaserver.disk.cached_open import CachedOpener


def test_a_file_that_was_looked_at_is_opened(tmp_path: Path) -> None:
    (tmp_path / "näme").write_bytes(b"content")
    descriptor = CachedOpener(os.O_RDONLY | os.O_CLOEXEC).open(str(tmp_path / "näme"))
    if descriptor is None:
        pytest.skip("this kernel has no RESOLVE_CACHED")
    assert os.read(descriptor, 100) == b"content"
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_one_that_is_not_there_is_not(tmp_path: Path) -> None:
    opener = CachedOpener(os.O_RDONLY)
    assert opener.open(str(tmp_path / "none")) is None
    assert opener.open("") is None


def test_other_systems_open_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    (tmp_path / "file").write_bytes(b"")
    assert CachedOpener(os.O_RDONLY).open(str(tmp_path / "file")) is None
