"""A real server process, asked with real sockets and with curl."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.http import parse_responses
from tests.support.process import LOOPBACK, PROJECT, Server, running_server
from tests.support.tls import self_signed
from tests.support.trees import SMALL_TREE, write_tree

pytestmark = pytest.mark.real

LARGE = hashlib.shake_256(b"large").digest(3_000_000)

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a small tree and a large image."""
    folder = tmp_path_factory.mktemp("served")
    root = write_tree(folder / "tree", {**SMALL_TREE, "firmware_1.0.2.bin": LARGE})
    with running_server(root, folder / "state") as server:
        yield server


def curl(*arguments: str) -> bytes:
    run = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def connected(server: Server, receive_bytes: int = 0) -> socket.socket:
    client = socket.socket()
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.settimeout(15)
    client.connect((LOOPBACK, server.http_port))
    return client


def received(client: socket.socket, count: int) -> bytes:
    """Read until so many answers are whole."""
    data = b""
    while True:
        data += client.recv(1 << 20)
        with contextlib.suppress(AssertionError):
            if len(parse_responses(data)) >= count:
                return data


def resident_bytes(server: Server) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("there is no such process")


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(0.05)
    return False


@needs_curl
def test_the_documented_manifest_of_the_sample_tree(tmp_path: Path) -> None:
    with running_server(PROJECT / "releases", tmp_path / "state") as server:
        url = f"{server.http_url}/manifest.json?current_ver=1.0.0"
        manifest = json.loads(curl(url))
        assert manifest["delete"] == ["flash/lib/adc.py"]
        assert [entry["dst_path"] for entry in manifest["new"]] == [
            "flash/lib/average.py",
            "sd/calibration/offsets.json",
        ]
        assert [entry["dst_path"] for entry in manifest["update"]] == [
            "flash/lib/sensor.py",
            "flash/main.py",
        ]
        assert (manifest["previous_version"], manifest["version"]) == ("1.0.0", "1.0.1")
        for entry in [*manifest["new"], *manifest["update"], manifest["firmware"]]:
            content = curl(entry["URL"])
            assert hashlib.sha1(content).hexdigest() == entry["hash"]
            assert hashlib.sha256(content).hexdigest() == entry["sha256"]
            assert len(content) == entry["size"]
        assert curl(f"{server.http_url}/manifest.json?current_ver=1.0.1") == b"null"


@needs_curl
def test_curl_resumes_a_download(served: Server, tmp_path: Path) -> None:
    target = tmp_path / "image"
    for have in (0, 1, 65_535, 65_536, 1_500_000, len(LARGE) - 1):
        target.write_bytes(LARGE[:have])
        curl("-C", "-", "-o", str(target), f"{served.http_url}/firmware_1.0.2.bin")
        assert target.read_bytes() == LARGE


def test_many_requests_in_one_segment_around_large_files(served: Server) -> None:
    with connected(served) as client:
        one = b"GET /1.0.1/flash/same.py HTTP/1.1\r\nHost: h\r\n\r\n"
        large = b"GET /firmware_1.0.2.bin HTTP/1.1\r\nHost: h\r\n\r\n"
        client.sendall((one * 100 + large) * 3)
        answers = parse_responses(received(client, 303))
    bodies = [answer.body for answer in answers]
    assert bodies == ([b"same\n"] * 100 + [LARGE]) * 3


def test_to_go_on_is_said_before_the_answer(served: Server) -> None:
    with connected(served) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
        )
        data = received(client, 2)
    assert [answer.status for answer in parse_responses(data)] == [100, 405]


def test_a_client_that_pipelines_and_reads_nothing_takes_no_memory(served: Server) -> None:
    with connected(served) as warm:
        warm.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        received(warm, 1)
    before = resident_bytes(served)
    clients = [connected(served, 4096) for _ in range(10)]
    for client in clients:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 20_000)
    time.sleep(1)
    grown = resident_bytes(served) - before
    for client in clients:
        client.close()
    assert grown < 20 << 20


def test_who_does_not_read_errors_gets_them_all_later_though_there_is_no_room(
    tmp_path: Path,
) -> None:
    root = write_tree(tmp_path / "tree", {f"1.0/flash/{n:04}": b"" for n in range(1000)})
    with (
        running_server(root, tmp_path / "state", "--cache-size", "65536") as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(4):
            hog = stack.enter_context(connected(server, 4096))
            hog.sendall(b"GET /manifest.json HTTP/1.1\r\nHost: h\r\n\r\n" * 40)
        client = stack.enter_context(connected(server, 4096))
        count = 20_000
        client.sendall(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n" * count)
        time.sleep(1)
        assert received_count(client, b"HTTP/1.1 404", count) == count


def received_count(client: socket.socket, mark: bytes, count: int) -> int:
    """Read until a mark, which must not be cut at the seams, has come so many times."""
    seen, tail = 0, b""
    while seen < count:
        data = client.recv(1 << 20)
        if not data:
            break
        tail += data
        seen += tail.count(mark)
        tail = tail[tail.rfind(mark) + len(mark) :] if mark in tail else tail[-len(mark) + 1 :]
    return seen


@pytest.mark.parametrize("path", ["/1.0.1/flash/main.py", "/firmware_1.0.2.bin"])
def test_a_client_that_closes_its_half_gets_all_behind_the_proxy_protocol_too(
    tmp_path: Path, path: str
) -> None:
    root = write_tree(tmp_path / "tree", {**SMALL_TREE, "firmware_1.0.2.bin": LARGE})
    endpoint = f"haproxy:tcp:0:interface={LOOPBACK}"
    with (
        running_server(root, tmp_path / "state", "--http", endpoint) as server,
        connected(server) as client,
    ):
        client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n")
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        client.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: client.recv(1 << 20), b""))
    (answer,) = parse_responses(data)
    assert answer.status == 200
    assert answer.body == (LARGE if path.endswith(".bin") else (root / path[1:]).read_bytes())


def test_slow_readers_take_no_memory(served: Server) -> None:
    before = resident_bytes(served)
    clients = [connected(served, 4096) for _ in range(100)]
    for client in clients:
        client.sendall(b"GET /firmware_1.0.2.bin HTTP/1.1\r\nHost: h\r\n\r\n")
    time.sleep(0.5)
    grown = resident_bytes(served) - before
    for client in clients:
        client.close()
    assert grown < 30 << 20


def test_a_thousand_aborted_downloads_leave_nothing_behind(served: Server) -> None:
    def abort(times: int) -> None:
        for number in range(times):
            with connected(served, 4096) as client:
                client.sendall(b"GET /firmware_1.0.2.bin HTTP/1.1\r\nHost: h\r\n\r\n")
                if number % 2:
                    client.recv(1000)

    abort(100)
    assert within(5, lambda: descriptors(served) < 40)
    open_before, before = descriptors(served), resident_bytes(served)
    abort(1000)
    assert within(5, lambda: descriptors(served) <= open_before)
    assert resident_bytes(served) - before < 8 << 20


def test_a_request_is_answered_while_a_huge_file_is_hashed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", SMALL_TREE)
    with running_server(root, tmp_path / "state") as server:
        with (root / "firmware_9.0.bin").open("wb") as file:
            file.truncate(3 << 30)
        time.sleep(0.4)
        slowest_s, answers = 0.0, 0
        with connected(server) as client:
            end_s = time.monotonic() + 1.5
            while time.monotonic() < end_s:
                asked_s = time.monotonic()
                client.sendall(
                    b"GET /manifest.json?current_ver=0.%d HTTP/1.1\r\nHost: h\r\n\r\n" % answers
                )
                (answer,) = parse_responses(received(client, 1))
                slowest_s = max(slowest_s, time.monotonic() - asked_s)
                answers += 1
                # The scan still runs: what it reads is not offered yet.
                assert json.loads(answer.body)["firmware"]["version"] == "1.0.1"
        assert answers > 100
        assert slowest_s < 0.5


@needs_curl
def test_a_change_is_served_without_a_restart(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", SMALL_TREE)
    with running_server(root, tmp_path / "state", "--settle", "0.3") as server:
        url = f"{server.http_url}/manifest.json"
        assert within(5, lambda: json.loads(curl(url)) is not None)
        write_tree(root, {"2.0/flash/main.py": b"new"})
        assert within(5, lambda: json.loads(curl(url))["version"] == "2.0")


@needs_curl
def test_over_a_unix_socket(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {**SMALL_TREE, "large": LARGE})
    path = tmp_path / "http.sock"
    with running_server(root, tmp_path / "state", "--http", f"unix:{path}"):
        unix = ["--unix-socket", str(path)]
        assert json.loads(curl(*unix, "http://h/manifest.json"))["version"] == "1.0.1"
        assert curl(*unix, "http://h/large") == LARGE


@needs_curl
def test_over_ipv6(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    root = write_tree(tmp_path / "tree", SMALL_TREE)
    with running_server(root, tmp_path / "state", "--http", r"tcp6:0:interface=\:\:1") as server:
        url = f"http://[::1]:{server.http_port}"
        manifest = json.loads(curl(f"{url}/manifest.json"))
        assert manifest["firmware"]["URL"] == f"{url}/firmware_1.0.1.bin"
        without_host = json.loads(curl("-H", "Host:", "-0", f"{url}/manifest.json"))
        assert without_host == manifest


@needs_curl
def test_over_tls(tmp_path: Path) -> None:
    pytest.importorskip("OpenSSL")
    pytest.importorskip("service_identity")
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    pem = self_signed(tmp_path)
    root = write_tree(tmp_path / "tree", {**SMALL_TREE, "large": LARGE * 4})
    endpoint = f"ssl:0:privateKey={pem}:interface={LOOPBACK}"
    options = ["--http", endpoint, "--max-per-address", "5"]
    with running_server(root, tmp_path / "state", *options) as server:
        port = server.http_port
        url = f"https://{LOOPBACK}:{port}"
        trust = ["--cacert", str(tmp_path / "certificate.pem")]
        manifest = json.loads(curl(*trust, f"{url}/manifest.json"))
        assert manifest["firmware"]["URL"] == f"{url}/firmware_1.0.1.bin"
        assert curl(*trust, f"{url}/large", f"{url}/1.0.1/flash/same.py") == LARGE * 4 + b"same\n"
        assert curl(*trust, "-r", "5000000-", f"{url}/large") == (LARGE * 4)[5_000_000:]
        full = [socket.create_connection((LOOPBACK, port)) for _ in range(5)]
        time.sleep(0.2)
        assert b"too many" in curl(*trust, f"{url}/manifest.json")
        for client in full:
            client.close()


@needs_curl
def test_the_access_log_in_a_file_of_its_own_is_rotated(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"1.0/flash/a": b"x"})
    path = tmp_path / "access.log"
    with running_server(root, tmp_path / "state", "--access-log", str(path)) as server:
        for name in ("a", "nothing"):
            subprocess.run(
                ["curl", "-s", f"{server.http_url}/1.0/flash/{name}"], capture_output=True
            )
        subprocess.run(["curl", "-s", f"{server.ftp_url}/1.0/flash/a"], capture_output=True)
        until(lambda: path.read_text().count("\n") == 3)
        path.rename(tmp_path / "access.log.1")
        server.process.send_signal(signal.SIGUSR1)
        until(path.exists)
        subprocess.run(["curl", "-s", f"{server.http_url}/1.0/flash/a"], capture_output=True)
    lines = (tmp_path / "access.log.1").read_text().splitlines()
    assert [line.split('"')[1] for line in lines] == [
        "GET /1.0/flash/a HTTP/1.1",
        "GET /1.0/flash/nothing HTTP/1.1",
        "RETR /1.0/flash/a FTP",
    ]
    assert path.read_text().count("\n") == 1, "the last line is written when the server stops"
    assert not any("GET /1.0/flash/a" in line for line in server.log)


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(200):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")
