"""Files whose metadata changes while they are offered: by a backup, say, that links to them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from otaserver.catalogue.hashing import hash_open_file
from tests.ftp.site import Site
from tests.support.http import Bench
from tests.support.trees import write_tree

CONTENT = b"x" * 6_000_000
OTHER = b"y" * 6_000_000
LARGE, SMALL = "1.0/flash/large", "1.0/flash/small"
TREE = {LARGE: CONTENT, SMALL: b"x"}

Touch = Callable[[Path], None]


def change_mode(path: Path) -> None:
    path.chmod(0o640)


def link(path: Path) -> None:
    os.link(path, path.parents[3] / f"backup-{path.name}")


def rewrite_as_if_nothing_had_happened(path: Path) -> None:
    """Change the content in place, and set the times back, as some copying tools do."""
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"x", b"y"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ctime_ns != before.st_ctime_ns


@pytest.fixture(params=[change_mode, link])
def touch(request: pytest.FixtureRequest) -> Touch:
    return request.param


@pytest.fixture
def bench(bench_of: Callable[..., Bench]) -> Bench:
    return bench_of(TREE)


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("path", [LARGE, SMALL])
def test_a_file_that_was_touched_is_sent(
    bench: Bench, touch: Touch, path: str, is_open: bool
) -> None:
    if is_open:
        assert bench.ask(f"/{path}").status == 200
    touch(bench.root / path)
    for _ in range(2):
        answer = bench.ask(f"/{path}")
        assert (answer.status, answer.body) == (200, TREE[path])


def test_a_download_goes_on_when_its_file_is_touched(bench: Bench, touch: Touch) -> None:
    client = bench.client()
    client.wire.is_stalled = True
    client.send(f"GET /{LARGE} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    touch(bench.root / LARGE)
    client.wire.unstall()
    (answer,) = client.answers()
    assert answer.body == CONTENT


def test_it_is_hashed_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    def counting(descriptor: int, size_bytes: int, check: Callable[[], None]) -> object:
        hashed.append(size_bytes)
        return hash_open_file(descriptor, size_bytes, check)

    monkeypatch.setattr("otaserver.disk.open_file.hash_open_file", counting)
    change_mode(bench.root / LARGE)
    for _ in range(3):
        assert bench.ask(f"/{LARGE}").status == 200
        # Long enough for the file to be closed.
        bench.pass_s(10)
    assert hashed == [len(CONTENT)]


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("path", [LARGE, SMALL])
def test_other_content_never_goes_out_under_the_old_hash(
    bench: Bench, path: str, is_open: bool
) -> None:
    if is_open:
        assert bench.ask(f"/{path}").status == 200
    rewrite_as_if_nothing_had_happened(bench.root / path)
    for _ in range(2):
        answer = bench.ask(f"/{path}")
        assert answer.status == 503
        assert "Retry-After" in answer.fields


def test_nor_does_the_end_of_a_download(bench: Bench) -> None:
    client = bench.client()
    client.wire.is_stalled = True
    client.send(f"GET /{LARGE} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    rewrite_as_if_nothing_had_happened(bench.root / LARGE)
    client.wire.unstall()
    assert client.wire.aborted
    assert len(client.wire.taken) < len(CONTENT)


def test_over_ftp_it_is_the_same(tmp_path: Path, touch: Touch) -> None:
    root = write_tree(tmp_path / "tree", TREE)
    site = Site(root)
    client = site.log_in()
    touch(root / LARGE)
    assert client.fetch(f"RETR {LARGE}") == CONTENT
    rewrite_as_if_nothing_had_happened(root / LARGE)
    client.open()
    assert client.code(f"RETR {LARGE}") in (450, 550)


def test_the_next_scan_finds_the_same_release(bench: Bench, touch: Touch) -> None:
    before = bench.ask("/manifest.json").body
    touch(bench.root / LARGE)
    bench.rescan()
    assert bench.ask("/manifest.json").body == before
    assert bench.ask(f"/{LARGE}").body == CONTENT
