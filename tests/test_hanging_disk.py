"""The real server on a disk that really hangs: only those who need the disk notice."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ftplib import FTP, error_temp
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest

from otaserver.disk.disk import MAX_THREADS
from tests.support.hanging_disk import HangingDisk, mounted, mounted_image
from tests.support.process import LOOPBACK, Server, running_server, wait_until
from tests.support.trees import write_tree

pytestmark = pytest.mark.real

LARGE = bytes(range(256)) * (1 << 16)
TREE = {
    "1.0.0/flash/main.py": b"print(1)\n",
    **{f"1.0.1/flash/part_{number}.py": b"%d\n" % number for number in range(3 * MAX_THREADS)},
    "firmware_1.0.1.bin": b"\xe9" + LARGE,
}
PARTS = [f"/{path}" for path in TREE if "part" in path]
FIRMWARE = "/firmware_1.0.1.bin"

# What asks for no file has to be answered within this time; a healthy server takes
# milliseconds, and one that waits for the disk takes until the test lets it go on.
PROMPT_S = 2.0
OPTIONS = ("--disk-timeout", "3")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HangingDisk]:
    write_tree(tmp_path / "source", TREE)
    (tmp_path / "tree").mkdir()
    with mounted(tmp_path / "source", tmp_path / "tree") as disk:
        yield disk


@pytest.fixture
def server(disk: HangingDisk, tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "tree", tmp_path / "state", *OPTIONS) as server:
        yield server
        disk.go_on()


def get(server: Server, path: str) -> tuple[int, str | None, bytes]:
    connection = HTTPConnection(LOOPBACK, server.http_port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Retry-After"), answer.read()
    finally:
        connection.close()


def assert_prompt(server: Server) -> None:
    """All that takes no file is answered, and at once."""
    for number in range(20):
        began_s = time.monotonic()
        assert get(server, f"/manifest.json?current_ver=1.0.0&n={number}")[0] == 200
        assert get(server, "/1.0.1/flash/")[0] == 200
        assert time.monotonic() - began_s < PROMPT_S


def ask_for_all(server: Server, pool: ThreadPoolExecutor) -> "list[tuple[int, str | None, bytes]]":
    """Ask for more files than threads could open, and see what else is answered meanwhile."""
    asked = [pool.submit(get, server, path) for path in PARTS]
    time.sleep(0.5)
    assert_prompt(server)
    assert not any(one.done() for one in asked)
    return [one.result() for one in asked]


def test_only_who_needs_the_disk_waits_for_it_and_not_for_ever(
    disk: HangingDisk, server: Server
) -> None:
    for path in PARTS[:3]:
        assert get(server, path)[0] == 200
    disk.hang()
    with ThreadPoolExecutor(len(PARTS)) as pool:
        answers = ask_for_all(server, pool)
    assert {(status, retry_after) for status, retry_after, _ in answers} == {(503, "10")}
    disk.go_on()
    for path in PARTS:
        assert get(server, path) == (200, None, TREE[path[1:]])


def test_it_is_the_same_over_ftp(disk: HangingDisk, server: Server) -> None:
    with FTP(timeout=30) as ftp:
        ftp.connect(LOOPBACK, server.ftp_port)
        ftp.login()
        disk.hang()
        with pytest.raises(error_temp, match=r"^450 The disk"):
            ftp.retrbinary(f"RETR {PARTS[0]}", lambda _: None)
        got: list[bytes] = []
        ftp.retrbinary("RETR /manifest.json?current_ver=1.0.0", got.append)
        assert b'"1.0.1"' in b"".join(got)
        disk.go_on()
        got.clear()
        ftp.retrbinary(f"RETR {PARTS[0]}", got.append)
        assert b"".join(got) == TREE[PARTS[0][1:]]


def test_a_disk_that_hangs_during_a_download_stops_that_download_alone(
    disk: HangingDisk, server: Server
) -> None:
    connection = HTTPConnection(LOOPBACK, server.http_port, timeout=30)
    connection.request("GET", FIRMWARE)
    answer = connection.getresponse()
    begun = answer.read(100_000)
    disk.hang()
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(answer.read)
        wait_until(lambda: disk.held)
        assert_prompt(server)
        disk.go_on()
        assert begun + rest.result() == TREE[FIRMWARE[1:]]


def test_a_single_file_that_can_not_be_read_leaves_the_others_alone(
    disk: HangingDisk, server: Server
) -> None:
    disk.hang(lambda path: path.endswith("/part_0.py"))
    with ThreadPoolExecutor(2 * MAX_THREADS) as pool:
        stuck = [pool.submit(get, server, PARTS[0]) for _ in range(2 * MAX_THREADS)]
        wait_until(lambda: disk.held)
        for path in PARTS[1:]:
            assert get(server, path) == (200, None, TREE[path[1:]])
        assert {one.result()[0] for one in stuck} == {503}


def test_a_server_whose_disk_hangs_ends_when_it_is_told_to(
    disk: HangingDisk, server: Server
) -> None:
    disk.turn_deaf()
    time.sleep(0.1)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(get, server, path) for path in PARTS[:2]]
        time.sleep(0.5)
        server.process.terminate()
        server.process.wait(timeout=10)
        for one in asked:
            assert isinstance(one.exception(), OSError) or one.result()[0] == 503
    wait_until(lambda: any("ends without finishing" in line for line in server.log))


def test_new_releases_are_offered_once_the_disk_answers_again(
    disk: HangingDisk, server: Server, tmp_path: Path
) -> None:
    disk.hang()
    wait_until(lambda: disk.held)
    write_tree(tmp_path / "source", {"1.0.2/flash/main.py": b"new\n"})
    assert_prompt(server)
    disk.go_on()
    wait_until(lambda: b'"version": "1.0.2"' in get(server, "/manifest.json")[2])


def forget(path: Path, from_byte: int = 0) -> None:
    """Have the kernel drop what it has of a file in its page cache, from some byte on."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, from_byte, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


@contextmanager
def served_local_disk(tmp_path: Path) -> Iterator[tuple[HangingDisk, Path, Path, Server]]:
    """Serve a local disk's tree, whose firmware has just been sent: disk, image, tree, server."""
    write_tree(tmp_path / "source", TREE)
    tree = tmp_path / "tree"
    tree.mkdir()
    with (
        mounted_image(tmp_path / "source", tmp_path, tree) as (disk, image),
        running_server(tree, tmp_path / "state", *OPTIONS) as server,
    ):
        assert get(server, FIRMWARE)[2] == TREE[FIRMWARE[1:]]
        yield disk, image, tree, server


def test_what_the_kernel_has_of_a_local_disk_is_sent_though_it_hangs(tmp_path: Path) -> None:
    with served_local_disk(tmp_path) as (disk, image, tree, server):
        gone = tree / PARTS[1][1:]
        forget(gone)
        forget(image)
        disk.hang()
        with ThreadPoolExecutor(1) as pool:
            stuck = pool.submit(get, server, PARTS[1])
            wait_until(lambda: disk.held)
            assert_prompt(server)
            for path in (FIRMWARE, PARTS[0]):
                began_s = time.monotonic()
                assert get(server, path) == (200, None, TREE[path[1:]])
                assert time.monotonic() - began_s < PROMPT_S
            assert stuck.result()[0] == 503
        disk.go_on()
        assert get(server, PARTS[1]) == (200, None, TREE[PARTS[1][1:]])


def test_what_the_kernel_has_dropped_since_it_was_sent_is_noticed(tmp_path: Path) -> None:
    with served_local_disk(tmp_path) as (disk, image, tree, server):
        forget(tree / FIRMWARE[1:], 1 << 16)
        forget(image)
        disk.hang()
        with ThreadPoolExecutor(1) as pool:
            stuck = pool.submit(get, server, FIRMWARE)
            wait_until(lambda: disk.held)
            assert_prompt(server)
            assert isinstance(stuck.exception(), OSError | IncompleteRead)
