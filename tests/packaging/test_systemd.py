"""The unit files: what systemd says of them, and the commands that they start."""

import contextlib
import ftplib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.packaging.files import PACKAGING, directives, start_command, value_of
from tests.support.process import LOOPBACK, environment, twistd, wait_until

SERVICE, DROP_IN = "otaserver.service", "sockets.conf"
SOCKETS = ("otaserver-http.socket", "otaserver-ftp.socket")
ENDPOINTS = ["--http", "systemd:domain=INET:name=http", "--ftp", "systemd:domain=INET:name=ftp"]

# Does what systemd does last: gives the sockets the numbers from 3 on, and says whose they are.
HAND_OVER = """
import os, sys
names, fds = sys.argv[1], [int(number) for number in sys.argv[2].split(":")]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.environ["LISTEN_FDNAMES"] = names
# Out of the way first, so that none is overwritten.
moved = [os.dup2(fd, 100 + at) for at, fd in enumerate(fds)]
for at, fd in enumerate(moved):
    os.dup2(fd, 3 + at)
    os.close(fd)
os.execv(sys.argv[3], sys.argv[3:])
"""

# On systemd's scale from 0 to 10, where a unit without restrictions has 9.6.
MOST_EXPOSED = 2.0

# How a server ends that was told to; systemd takes neither for a failure.
CLEAN = (0, -signal.SIGTERM)


def test_both_ways_start_the_same_server() -> None:
    assert start_command(DROP_IN) == [*start_command(SERVICE), *ENDPOINTS]


def test_the_server_may_write_where_its_options_say() -> None:
    unit = directives(SERVICE)
    assert value_of("--state", start_command(SERVICE)) == f"/var/lib/{unit['StateDirectory']}"
    assert directives(SERVICE)["ProtectSystem"] == "strict"


@pytest.mark.parametrize("name", SOCKETS)
def test_each_socket_is_handed_to_the_server_under_its_name(name: str) -> None:
    unit = directives(name)
    assert unit["Service"] == SERVICE
    assert name in directives(DROP_IN)["Requires"].split()
    given = f"systemd:domain=INET:name={unit['FileDescriptorName']}"
    assert value_of(f"--{unit['FileDescriptorName']}", start_command(DROP_IN)) == given


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit files in a folder, with a program that is there."""
    units = tmp_path / "units"
    (units / f"{SERVICE}.d").mkdir(parents=True)
    for name in (SERVICE, *SOCKETS, DROP_IN):
        folder = units / f"{SERVICE}.d" if name == DROP_IN else units
        text = (PACKAGING / name).read_text()
        (folder / name).write_text(text.replace("/opt/otaserver/bin/twistd", sys.executable))
    return units


def systemd_analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.real
@pytest.mark.parametrize("has_sockets", [False, True])
def test_systemd_has_nothing_to_say_against_the_units(
    installed: Path, needs: Callable[[str], None], has_sockets: bool
) -> None:
    needs("systemd-analyze")
    if not has_sockets:
        (installed / f"{SERVICE}.d" / DROP_IN).unlink()
    names = [SERVICE, *SOCKETS] if has_sockets else [SERVICE]
    run = systemd_analyze("verify", "--man=no", *(str(installed / name) for name in names))
    # It also tells what is wrong with the units of this machine.
    assert [line for line in run.stderr.splitlines() if "otaserver" in line] == []
    assert run.returncode == 0, run.stderr


@pytest.mark.real
def test_the_service_is_confined(installed: Path, needs: Callable[[str], None]) -> None:
    needs("systemd-analyze")
    options = ("--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", "--no-pager")
    run = systemd_analyze("security", *options, str(installed / SERVICE))
    assert run.returncode == 0, run.stdout + run.stderr


@contextlib.contextmanager
def started(
    command: Sequence[str], folder: Path, sockets: Sequence[socket.socket] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """Run a command until the block ends."""
    process = subprocess.Popen(
        command,
        pass_fds=[one.fileno() for one in sockets],
        cwd=folder,
        env=environment(),
        stdout=(folder / "log").open("a"),
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def in_test(words: Sequence[str], root: Path, folder: Path) -> list[str]:
    """A unit's command with the test's own twistd and folders."""
    own = {
        "/opt/otaserver/bin/twistd": twistd(),
        "/srv/releases": str(root),
        "/var/lib/otaserver": str(folder / "state"),
    }
    return [own.get(word, word) for word in words]


def manifest(port: int) -> bytes:
    url = f"http://{LOOPBACK}:{port}/manifest.json"
    with urllib.request.urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
        return body


def names(port: int) -> list[str]:
    with ftplib.FTP(timeout=20) as ftp:
        ftp.connect(LOOPBACK, port)
        ftp.login()
        return ftp.nlst()


def offers(port: int, version: bytes) -> bool:
    try:
        return b'"version": "%s"' % version in manifest(port)
    except urllib.error.HTTPError as error:
        assert error.code == 503, "the tree is still being read"
        return False


@pytest.mark.real
def test_the_service_s_command_serves(small_tree: Path, tmp_path: Path) -> None:
    endpoint = f"tcp:0:interface={LOOPBACK}"
    command = in_test(start_command(SERVICE), small_tree, tmp_path)
    options = ["--http", endpoint, "--ftp", endpoint]
    with started([*command, *options], tmp_path) as process:
        wait_until(lambda: "To offer a new version" in (tmp_path / "log").read_text(), 30)
    assert process.returncode in CLEAN


@pytest.mark.real
def test_sockets_from_systemd_outlive_the_server(small_tree: Path, tmp_path: Path) -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as http,
        socket.create_server((LOOPBACK, 0)) as ftp,
    ):
        numbers = f"{http.fileno()}:{ftp.fileno()}"
        command = in_test(start_command(DROP_IN), small_tree, tmp_path)
        handed = [sys.executable, "-c", HAND_OVER, "http:ftp", numbers, *command, "--settle", "0"]
        http_port, ftp_port = http.getsockname()[1], ftp.getsockname()[1]
        with started(handed, tmp_path, [http, ftp]) as process:
            wait_until(lambda: offers(http_port, b"1.0.1"), 30)
            assert "1.0.1" in names(ftp_port)
        assert process.returncode in CLEAN
        # Whoever connects now waits for the next server.
        with socket.create_connection((LOOPBACK, http_port), 20) as early:
            early.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with started(handed, tmp_path, [http, ftp]):
                assert early.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 503")
                wait_until(lambda: offers(http_port, b"1.0.1"), 30)
                assert "1.0.1" in names(ftp_port)
    log = (tmp_path / "log").read_text()
    assert f"Serving http://{LOOPBACK}:{http_port}/ (from this machine only)" in log
    assert "Traceback" not in log
