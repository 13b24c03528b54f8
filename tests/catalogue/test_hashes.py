import gc
import hashlib
import os
from pathlib import Path

import pytest

from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.hashing import Hashes, hash_file
from otaserver.catalogue.stamps import FileChanged, Stamp, open_stamped, stamp_of

STAMP = Stamp(2, 3, 4, 5)
HASHES = Hashes("a" * 40, "b" * 64)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state" / "hashes.sqlite3"


def reopened(state: Path, *kept: str) -> HashStore:
    """Put hashes into a store, close it, and open it again."""
    store = HashStore(state)
    for path in kept:
        store.put(path, STAMP, HASHES)
    store.close()
    return HashStore(state)


def test_what_was_put_is_found_after_a_restart(state: Path) -> None:
    assert reopened(state, "a").get("a", STAMP) == HASHES


def test_the_folder_for_state_is_made_for_the_owner_only(state: Path) -> None:
    HashStore(state).close()
    assert state.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("field", ["inode", "size_bytes", "mtime_ns", "ctime_ns"])
def test_a_file_that_looks_different_is_not_known(field: str) -> None:
    store = HashStore(":memory:")
    store.put("a", STAMP, HASHES)
    store.commit()
    assert store.get("a", STAMP._replace(**{field: 99})) is None
    assert store.get("b", STAMP) is None


@pytest.mark.parametrize("time_ns", [-(10**9 << 63), -1, 1 << 63, 1 << 64, (10**9 << 63) - 1])
def test_any_time_can_be_kept(state: Path, time_ns: int) -> None:
    odd = STAMP._replace(mtime_ns=time_ns, ctime_ns=time_ns)
    store = HashStore(state)
    store.put("a", odd, HASHES)
    store.commit()
    assert store.get("a", odd) == HASHES
    store.close()


def test_a_store_takes_no_lock_until_it_writes(state: Path) -> None:
    first, second = HashStore(state), HashStore(state)
    first.put("a", STAMP, HASHES)
    second.put("b", STAMP, HASHES)
    second.commit()
    first.commit()
    assert second.get("a", STAMP) == first.get("b", STAMP) == HASHES
    first.close()
    second.close()


def test_a_new_content_takes_the_old_one_s_place() -> None:
    store = HashStore(":memory:")
    changed = STAMP._replace(ctime_ns=6)
    store.put("a", STAMP, HASHES)
    other = Hashes("c" * 40, "d" * 64)
    store.put("a", changed, other)
    store.commit()
    assert store.get("a", STAMP) is None
    assert store.get("a", changed) == other


@pytest.mark.parametrize("inode", [0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_any_inode_can_be_kept(inode: int) -> None:
    store = HashStore(":memory:")
    store.put("a", STAMP._replace(inode=inode), HASHES)
    store.commit()
    assert store.get("a", STAMP._replace(inode=inode)) == HASHES


def test_any_file_name_can_be_kept() -> None:
    store = HashStore(":memory:")
    name = os.fsdecode(b"\xff\xfe/\n'\"")
    store.put(name, STAMP, HASHES)
    store.commit()
    assert store.get(name, STAMP) == HASHES


def test_few_files_that_are_gone_are_remembered_and_many_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("otaserver.catalogue.hash_store._SPARE_RECORDS", 3)
    store = HashStore(":memory:")
    for name in "abcdef":
        store.put(name, STAMP, HASHES)
    store.commit()
    store.forget_all_but("abc")
    assert store.get("f", STAMP) == HASHES
    store.forget_all_but("ab")
    kept = {name for name in "abcdef" if store.get(name, STAMP)}
    assert len(kept) == 5
    assert kept >= {"a", "b"}


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_file_is_hashed_in_both_ways(tmp_path: Path, size: int) -> None:
    content = b"x" * size
    path = tmp_path / "file"
    path.write_bytes(content)
    hashes = hash_file(str(path), stamp_of(path.stat()), lambda: None)
    assert hashes == (hashlib.sha1(content).hexdigest(), hashlib.sha256(content).hexdigest())


def test_a_file_that_grows_while_it_is_read_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    stamp = stamp_of(path.stat())

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"y")
        if path.stat().st_size > 1000:
            raise AssertionError("it is read as long as it grows")

    with pytest.raises(FileChanged):
        hash_file(str(path), stamp, grow)


def test_no_descriptor_is_left_open_by_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    stamp = stamp_of(path.stat())

    def refuse() -> None:
        raise KeyError

    gc.collect()  # or what other tests left would be closed in between
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(FileChanged):
            open_stamped(str(path), STAMP)
        with pytest.raises(FileChanged):
            open_stamped(str(tmp_path), stamp_of(tmp_path.stat()))
        with pytest.raises(KeyError):
            hash_file(str(path), stamp, refuse)
    assert len(os.listdir("/proc/self/fd")) == before
