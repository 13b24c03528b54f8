"""The state is checked, not trusted: whatever happens to its file, no wrong record is found."""

import random
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from otaserver.catalogue.first_offers import FirstOffers
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.scan import Scanner
from otaserver.catalogue.stamps import Stamp
from otaserver.catalogue.state_database import StateDatabase
from tests.catalogue.test_scan import unprivileged
from tests.support.trees import write_tree

RECORDS = {b"key %d" % number: random.Random(number).randbytes(84) for number in range(100)}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state" / "some.sqlite3"


def written(path: Path) -> Path:
    """Write the records to a database, and close it."""
    database = StateDatabase(path)
    database.put(RECORDS.items())
    database.close()
    return path


def reopened(path: Path, warnings: list[str] | None = None) -> StateDatabase:
    return StateDatabase(path, (warnings if warnings is not None else []).append)


def works_after_a_restart(path: Path) -> bool:
    for content in (b"1", b"2"):
        database = StateDatabase(path)
        database.put([(b"new", content)])
        database.close()
    database = StateDatabase(path)
    found = database.get(b"new")
    database.close()
    return found == b"2"


def places(size: int) -> list[int]:
    """Each place in what SQLite keeps at the beginning, and a sample of the others."""
    return [*range(100), *random.Random(size).sample(range(100, size), 80)]


def test_bytes_that_are_taken_for_text_cost_at_most_their_own_record(state: Path) -> None:
    with sqlite3.connect(written(state)) as connection:
        # One flipped bit does it. The bytes are not in UTF-8.
        connection.execute(
            "UPDATE record SET content = CAST(content AS TEXT), checksum = CAST(checksum AS TEXT)"
            " WHERE key = ?",
            (b"key 7",),
        )
    connection.close()
    warnings: list[str] = []
    database = reopened(state, warnings)
    assert database.get(b"key 7") in (None, RECORDS[b"key 7"])
    assert {**RECORDS, **dict(database.all())} == RECORDS
    assert database.count() == len(RECORDS)
    assert warnings == []
    database.close()


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_no_flipped_bit_yields_a_wrong_record(tmp_path: Path, suffix: str) -> None:
    database = StateDatabase(tmp_path / "sound.sqlite3")
    database.put(RECORDS.items())
    if not suffix:
        database.close()
    files = {path.name[len("sound.sqlite3") :]: path.read_bytes() for path in tmp_path.iterdir()}
    files.pop("-shm", None)
    database.close()
    source, path = random.Random(7), tmp_path / "damaged" / "some.sqlite3"
    for place in places(len(files[suffix])):
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        damaged = bytearray(files[suffix])
        damaged[place] ^= 1 << source.randrange(8)
        for name, content in {**files, suffix: bytes(damaged)}.items():
            Path(f"{path}{name}").write_bytes(content)
        database = StateDatabase(path)
        for key, content in RECORDS.items():
            assert database.get(key) in (content, None), (place, key)
        assert set(database.all()) <= set(RECORDS.items()), place
        database.close()
        if place < 100:
            assert works_after_a_restart(path), place


def test_a_value_of_another_type_is_no_record(state: Path) -> None:
    with sqlite3.connect(written(state)) as other:
        other.execute("UPDATE record SET content = 5 WHERE key = ?", (b"key 1",))
        other.execute("UPDATE record SET content = 'text' WHERE key = ?", (b"key 2",))
        other.execute("UPDATE record SET content = NULL WHERE key = ?", (b"key 3",))
        other.execute("UPDATE record SET checksum = 2.5 WHERE key = ?", (b"key 4",))
        other.execute("UPDATE record SET key = 7 WHERE key = ?", (b"key 5",))
        other.execute("UPDATE record SET key = ? WHERE key = ?", (b"key 6.5", b"key 6"))
    other.close()
    warnings: list[str] = []
    database = reopened(state, warnings)
    lost = {b"key %d" % number for number in range(1, 7)}
    assert dict(database.all()) == {k: v for k, v in RECORDS.items() if k not in lost}
    assert database.get(b"key 1") is database.get(b"key 6.5") is None
    database.put([(b"key 1", b"again")])
    assert database.get(b"key 1") == b"again"
    database.close()
    assert warnings == []


@pytest.mark.parametrize(
    "content", [b"not a database", b"\0" * 4096, b"SQLite format 3\0" * 600, b"x" * 100_000]
)
def test_a_file_that_is_no_database_is_replaced_and_the_log_says_so(
    state: Path, content: bytes
) -> None:
    state.parent.mkdir(parents=True)
    state.write_bytes(content)
    warnings: list[str] = []
    reopened(state, warnings).close()
    (warning,) = warnings
    assert warning.startswith(f"{state} is begun anew: ")
    assert works_after_a_restart(state)


def test_a_database_of_another_make_is_replaced(state: Path) -> None:
    state.parent.mkdir(parents=True)
    other = sqlite3.connect(state)
    other.execute("CREATE TABLE file (name TEXT)")
    other.commit()
    other.close()
    assert works_after_a_restart(state)


def test_the_log_of_a_database_that_is_replaced_does_not_return(state: Path) -> None:
    database = StateDatabase(written(state))
    database.put([(b"key 7", b"changed")])
    log = Path(f"{state}-wal").read_bytes()
    database.close()
    state.write_bytes(b"not a database" * 1000)
    Path(f"{state}-wal").write_bytes(log)
    warnings: list[str] = []
    database = reopened(state, warnings)
    assert (database.all(), len(warnings)) == ([], 1)
    database.close()
    assert works_after_a_restart(state)


def test_damage_that_shows_later_on_is_mended_too(state: Path) -> None:
    content = written(state).read_bytes()
    state.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    warnings: list[str] = []
    database = reopened(state, warnings)
    assert database.get(b"key 7") is None
    database.put([(b"key 7", b"again")])
    assert database.get(b"key 7") == b"again"
    database.close()
    assert len(warnings) == 1
    assert works_after_a_restart(state)


def test_a_disk_that_is_full_ends_the_keeping_and_keeps_the_file(state: Path) -> None:
    warnings: list[str] = []
    database = reopened(written(state), warnings)
    database._database.execute("PRAGMA max_page_count = 12")
    database.put([(b"%d" % number, b"x" * 100) for number in range(10_000)])
    (warning,) = warnings
    assert warning.endswith(
        "some.sqlite3 can't be used, so its content is kept in memory only: "
        "database or disk is full"
    )
    database.put([(b"a", b"b")])
    assert database.get(b"a") == b"b"
    database.close()
    assert StateDatabase(state).get(b"key 7") == RECORDS[b"key 7"]


def refused(tmp_path: Path, path: Path) -> None:
    """Check that a database works in memory, and says why."""
    warnings: list[str] = []
    with unprivileged(tmp_path):
        database = StateDatabase(path, warnings.append)
        database.put([(b"a", b"b")])
        assert database.get(b"a") == b"b"
        database.close()
    (warning,) = warnings
    assert warning.startswith(f"{path} can't be used, so its content is kept in memory only: ")


def test_a_folder_that_can_not_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o555)
    refused(tmp_path, tmp_path / "state" / "some.sqlite3")


def test_a_file_that_can_not_be_written_is_done_without(tmp_path: Path) -> None:
    path = written(tmp_path / "state" / "some.sqlite3")
    path.chmod(0o444)
    path.parent.chmod(0o555)
    refused(tmp_path, path)
    assert StateDatabase(path).get(b"key 7") == RECORDS[b"key 7"]


@pytest.mark.parametrize("made", ["file", "folder/some.sqlite3/inside"])
def test_what_is_in_the_way_is_done_without(tmp_path: Path, made: str) -> None:
    (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / made).write_text("")
    refused(tmp_path, tmp_path / made.split("/")[0] / "some.sqlite3")
    assert (tmp_path / made).exists()


def test_a_database_that_is_locked_is_left_alone(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(written(state))
    other.execute("BEGIN EXCLUSIVE")
    connect = partial(sqlite3.connect, timeout=0.01)
    monkeypatch.setattr("sqlite3.connect", connect)
    warnings: list[str] = []
    reopened(state, warnings).close()
    other.close()
    monkeypatch.undo()
    assert "locked" in warnings[0]
    assert StateDatabase(state).get(b"key 7") == RECORDS[b"key 7"]


def test_hashes_and_first_offers_pass_over_what_is_damaged(small_tree: Path, state: Path) -> None:
    def scan() -> set[tuple[str, str]]:
        hashes, offers = HashStore(state), FirstOffers(state.with_name("releases.sqlite3"))
        catalogue = Scanner(str(small_tree), hashes, 0, first_offers=offers).scan()
        hashes.close()
        offers.close()
        assert catalogue.problems == ()
        return {(file.path, file.sha256) for file in catalogue.root.walk()}

    before = scan()
    for path in state.parent.glob("*.sqlite3"):
        content = bytearray(path.read_bytes())
        for place in range(4096, len(content), 211):
            damaged = content.copy()
            damaged[place] ^= 0x10
            path.write_bytes(damaged)
            assert scan() == before


@pytest.mark.parametrize("record", [b"", b"x" * 83, b"x" * 85])
def test_a_record_of_another_length_is_no_hash(state: Path, record: bytes) -> None:
    database = StateDatabase(state)
    database.put([(b"a", record)])
    database.close()
    assert HashStore(state).get("a", Stamp(2, 3, 4, 5)) is None


def test_a_path_that_is_not_in_utf_8_can_be_kept(tmp_path: Path, state: Path) -> None:
    root = write_tree(tmp_path / "tree\udcff", {"1.0/flash/main.py": b"1"})
    for _ in range(2):
        offers = FirstOffers(state)
        hashes = HashStore(":memory:")
        assert Scanner(str(root), hashes, 0, first_offers=offers).scan().problems == ()
        offers.close()
