"""A real server, asked by the clients that people and devices have."""

import contextlib
import ftplib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.ports import free_ports
from tests.support.process import LOOPBACK, Server, running_server, wait_until
from tests.support.trees import write_tree

pytestmark = pytest.mark.real

BIG_BYTES = 3_000_000
NAME = "ünïcode näme.txt"
PASSIVE_PORTS = free_ports(4)
TREE = {
    "1.0.0/flash/main.py": b"print(1)\n",
    "1.0.1/flash/main.py": b"print(2)\n",
    "1.0.1/flash/empty": b"",
    f"1.0.1/flash/{NAME}": b"unicode\n",
    "lopy4/2.0.0/flash/main.py": b"lopy4\n",
    "firmware_1.0.1.bin": (b"\xe9" + bytes(range(250)) * (BIG_BYTES // 250))[:BIG_BYTES],
}


@dataclass
class TreeServer(Server):
    """A server of which the tree is known, too."""

    root: Path = field(kw_only=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TreeServer]:
    folder = tmp_path_factory.mktemp("clients")
    root = write_tree(folder / "tree", TREE)
    ports = f"{PASSIVE_PORTS[0]}-{PASSIVE_PORTS[-1]}"
    with running_server(root, folder / "state", "--ftp-passive-ports", ports) as server:
        tree_server = TreeServer(server.process, server.ports, server.log, root=root)
        yield tree_server
        assert not any("Traceback" in line for line in server.log)
        wait_until(lambda: not files_of(tree_server))


@pytest.fixture(scope="module")
def server_v6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TreeServer]:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    folder = tmp_path_factory.mktemp("v6")
    root = write_tree(folder / "tree", TREE)
    # Of both families: IPv4 comes in the guise of IPv6.
    with running_server(root, folder / "state", "--ftp", r"tcp6:0:interface=\:\:") as server:
        yield TreeServer(server.process, server.ports, server.log, root=root)


@pytest.fixture(autouse=True)
def nothing_is_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test, the server has no data connection and no open port."""
    yield
    for name in ("server", "server_v6"):
        if name in request.fixturenames:
            wait_until_idle(request.getfixturevalue(name))


def run(
    *command: str, folder: Path | None = None, codes: tuple[int, ...] = (0,), typed: str = ""
) -> bytes:
    """Run a client; where it is missing the test is skipped, but never in CI."""
    if shutil.which(command[0]) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{command[0]} is missing")
        pytest.skip(f"{command[0]} is not installed")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(folder or "/nonexistent")}
    done = subprocess.run(
        command,
        input=typed.encode(),
        capture_output=True,
        timeout=60,
        cwd=folder,
        env=environment,
        check=False,
    )
    assert done.returncode in codes, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
    return done.stdout


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def files_of(server: TreeServer) -> list[str]:
    """Which files of the tree the server has open."""
    opened = []
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            opened.append(os.readlink(link))
    return [path for path in opened if path.startswith(f"{server.root}/")]


def sockets_of(server: Server) -> list[str]:
    """What the server has open, beside files and the reactor's own."""
    folder = Path(f"/proc/{server.process.pid}/fd")
    inodes = set()
    for link in folder.iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(link))
    tcp = [
        f"socket:[{line.split()[9]}]"
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{server.process.pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [name for name in tcp if name in inodes]


def wait_until_idle(server: TreeServer) -> None:
    wait_until(lambda: len(sockets_of(server)) <= 2)


def quoted(url: str) -> str:
    return url.replace(" ", "%20").replace("ü", "%C3%BC").replace("ï", "%C3%AF").replace(
        "ä", "%C3%A4"
    )  # fmt: skip


class TestCurl:
    @pytest.mark.parametrize("options", [(), ("--disable-epsv",), ("-P", "-"),
                                         ("-P", "-", "--disable-eprt"),
                                         ("--ftp-method", "nocwd"),
                                         ("--ftp-method", "singlecwd")])  # fmt: skip
    def test_files(self, server: TreeServer, options: tuple[str, ...]) -> None:
        url = f"{server.ftp_url}/firmware_1.0.1.bin"
        assert run("curl", "-sS", *options, url) == TREE["firmware_1.0.1.bin"]

    def test_names(self, server: TreeServer) -> None:
        url = quoted(f"{server.ftp_url}/1.0.1/flash/{NAME}")
        assert run("curl", "-sS", url) == b"unicode\n"

    def test_resuming(self, server: TreeServer, tmp_path: Path) -> None:
        (tmp_path / "part").write_bytes(TREE["firmware_1.0.1.bin"][:1_234_567])
        url = f"{server.ftp_url}/firmware_1.0.1.bin"
        run("curl", "-sS", "-C", "-", "-o", "part", url, folder=tmp_path)
        assert (tmp_path / "part").read_bytes() == TREE["firmware_1.0.1.bin"]
        run("curl", "-sS", "-C", "-", "-o", "part", url, folder=tmp_path)
        assert (tmp_path / "part").stat().st_size == BIG_BYTES

    def test_ranges(self, server: TreeServer) -> None:
        url = f"{server.ftp_url}/firmware_1.0.1.bin"
        assert run("curl", "-sS", "-r", "100-299", url) == TREE["firmware_1.0.1.bin"][100:300]
        assert run("curl", "-sS", "-r", "-100", url) == TREE["firmware_1.0.1.bin"][-100:]

    def test_listings(self, server: TreeServer) -> None:
        assert run("curl", "-sS", "-l", f"{server.ftp_url}/1.0.1/flash/").decode().split("\n") == [
            "empty", "main.py", NAME, "",
        ]  # fmt: skip
        assert b" main.py" in run("curl", "-sS", f"{server.ftp_url}/1.0.1/flash/")

    def test_heads(self, server: TreeServer) -> None:
        head = run("curl", "-sS", "-I", f"{server.ftp_url}/firmware_1.0.1.bin")
        assert f"Content-Length: {BIG_BYTES}" in head.decode()

    def test_manifests(self, server: TreeServer) -> None:
        url = f"{server.ftp_url}/manifest.json%3Fcurrent_ver=1.0.0"
        manifest = json.loads(run("curl", "-sS", url))
        assert manifest["previous_version"] == "1.0.0"
        for item in manifest["new"] + manifest["update"]:
            assert len(run("curl", "-sS", item["URL"])) == item["size"]

    def test_what_is_not_there(self, server: TreeServer) -> None:
        run("curl", "-sS", f"{server.ftp_url}/nothing", codes=(78,))

    def test_a_wrong_password(self, server: TreeServer) -> None:
        run("curl", "-sS", "-u", "root:x", f"{server.ftp_url}/firmware_1.0.1.bin", codes=(67,))

    def test_uploads(self, server: TreeServer) -> None:
        run("curl", "-sS", "-T", "/etc/hostname", f"{server.ftp_url}/x", codes=(25,))

    @pytest.mark.parametrize("options", [(), ("-P", "-")])
    @pytest.mark.parametrize("host", ["[::1]", LOOPBACK])
    def test_ipv6(self, server_v6: TreeServer, host: str, options: tuple[str, ...]) -> None:
        url = f"ftp://{host}:{server_v6.ftp_port}/firmware_1.0.1.bin"
        assert run("curl", "-sS", *options, url) == TREE["firmware_1.0.1.bin"]
        manifest = run("curl", "-sS", f"ftp://{host}:{server_v6.ftp_port}/manifest.json")
        assert json.loads(manifest)["firmware"]["URL"] == url


class TestWget:
    def test_files(self, server: TreeServer, tmp_path: Path) -> None:
        run("wget", "-q", f"{server.ftp_url}/firmware_1.0.1.bin", folder=tmp_path)
        assert (tmp_path / "firmware_1.0.1.bin").read_bytes() == TREE["firmware_1.0.1.bin"]

    def test_resuming(self, server: TreeServer, tmp_path: Path) -> None:
        part = tmp_path / "firmware_1.0.1.bin"
        part.write_bytes(TREE["firmware_1.0.1.bin"][:1_000_000])
        run("wget", "-q", "-c", f"{server.ftp_url}/firmware_1.0.1.bin", folder=tmp_path)
        assert part.read_bytes() == TREE["firmware_1.0.1.bin"]

    def test_everything(self, server: TreeServer, tmp_path: Path) -> None:
        run("wget", "-q", "-r", "-nH", f"{server.ftp_url}/", folder=tmp_path)
        check_mirror(tmp_path)

    def test_ipv6(self, server_v6: TreeServer, tmp_path: Path) -> None:
        url = f"ftp://[::1]:{server_v6.ftp_port}/firmware_1.0.1.bin"
        run("wget", "-q", url, folder=tmp_path)
        assert (tmp_path / "firmware_1.0.1.bin").read_bytes() == TREE["firmware_1.0.1.bin"]


class TestLftp:
    def lftp(self, server: TreeServer, folder: Path, *commands: str) -> bytes:
        settings = "set cmd:fail-exit yes; set net:max-retries 1; set ftp:ssl-allow no"
        script = "; ".join((settings, f"open {server.ftp_url}", *commands))
        return run("lftp", "-c", script, folder=folder)

    @pytest.mark.parametrize("setting", ["", "set ftp:passive-mode no", "set ftp:use-mlsd yes"])
    def test_mirror(self, server: TreeServer, tmp_path: Path, setting: str) -> None:
        self.lftp(server, tmp_path, *filter(None, [setting]), "mirror / got")
        check_mirror(tmp_path / "got")

    def test_mirror_of_a_release_in_parallel(self, server: TreeServer, tmp_path: Path) -> None:
        self.lftp(server, tmp_path, "mirror --parallel=3 1.0.1")
        assert (tmp_path / f"1.0.1/flash/{NAME}").read_bytes() == b"unicode\n"

    def test_resuming(self, server: TreeServer, tmp_path: Path) -> None:
        part = tmp_path / "firmware_1.0.1.bin"
        part.write_bytes(TREE["firmware_1.0.1.bin"][:2_000_001])
        self.lftp(server, tmp_path, "get -c firmware_1.0.1.bin")
        assert part.read_bytes() == TREE["firmware_1.0.1.bin"]

    def test_pieces(self, server: TreeServer, tmp_path: Path) -> None:
        self.lftp(server, tmp_path, "set pget:min-chunk-size 100k", "pget -n 4 firmware_1.0.1.bin")
        got = (tmp_path / "firmware_1.0.1.bin").read_bytes()
        assert got == TREE["firmware_1.0.1.bin"]

    def test_listings(self, server: TreeServer, tmp_path: Path) -> None:
        assert b"main.py" in self.lftp(server, tmp_path, "cls -l 1.0.1/flash")
        assert "1.0.1" in self.lftp(server, tmp_path, "nlist").decode()


class TestNcftp:
    def test_everything(self, server: TreeServer, tmp_path: Path) -> None:
        run("ncftpget", "-V", "-R", "-P", str(server.ftp_port), LOOPBACK, ".", "/1.0.1",
            folder=tmp_path)  # fmt: skip
        assert (tmp_path / "1.0.1/flash/main.py").read_bytes() == b"print(2)\n"
        assert (tmp_path / f"1.0.1/flash/{NAME}").read_bytes() == b"unicode\n"

    def test_a_file_in_active_mode(self, server: TreeServer, tmp_path: Path) -> None:
        run("ncftpget", "-V", "-E", "-P", str(server.ftp_port), LOOPBACK, ".",
            "/firmware_1.0.1.bin", folder=tmp_path)  # fmt: skip
        assert (tmp_path / "firmware_1.0.1.bin").read_bytes() == TREE["firmware_1.0.1.bin"]

    def test_patterns(self, server: TreeServer, tmp_path: Path) -> None:
        run("ncftpget", "-V", "-P", str(server.ftp_port), LOOPBACK, ".", "/1.0.1/flash/m*.py",
            folder=tmp_path)  # fmt: skip
        assert (tmp_path / "main.py").read_bytes() == b"print(2)\n"
        commands = "ls 1.0.1/flash/*.py\nmget *.bin\nquit\n"
        opened = f"open -P {server.ftp_port} {LOOPBACK}\n"
        printed = run("ncftp", folder=tmp_path, typed=opened + commands)
        assert b"main.py" in printed and b"empty" not in printed
        assert (tmp_path / "firmware_1.0.1.bin").read_bytes() == TREE["firmware_1.0.1.bin"]


class TestFtp:
    """What people type on Unix; Windows' ftp.exe descends from the same program."""

    @pytest.mark.parametrize(
        "command", [("tnftp", "-n", "-p"), ("tnftp", "-n", "-A"), ("inetutils-ftp", "-n", "-p")]
    )
    def test_mget(self, server: TreeServer, tmp_path: Path, command: tuple[str, ...]) -> None:
        typed = [f"open {LOOPBACK} {server.ftp_port}", "user anonymous x", "prompt", "binary"]
        typed += ["mget *.bin", "cd 1.0.1/flash", "ls m*.py", "mget *.py", "quit", ""]
        printed = run(*command, folder=tmp_path, typed="\n".join(typed))
        assert b"main.py" in printed and b"empty" not in printed
        assert (tmp_path / "firmware_1.0.1.bin").read_bytes() == TREE["firmware_1.0.1.bin"]
        assert (tmp_path / "main.py").read_bytes() == b"print(2)\n"


class TestFtplib:
    @pytest.fixture
    def ftp(self, server: TreeServer) -> Iterator[ftplib.FTP]:
        with ftplib.FTP(encoding="utf-8", timeout=20) as ftp:
            ftp.connect(LOOPBACK, server.ftp_port)
            ftp.login()
            yield ftp

    @pytest.mark.parametrize("is_passive", [True, False])
    def test_every_method_that_reads(self, ftp: ftplib.FTP, is_passive: bool) -> None:
        ftp.set_pasv(is_passive)
        assert ftp.getwelcome().startswith("220")
        assert ftp.pwd() == "/"
        assert ftp.cwd("1.0.1/flash").startswith("250")
        assert ftp.nlst() == ["empty", "main.py", NAME]
        assert [name for name, _ in ftp.mlsd()] == ["empty", "main.py", NAME]
        assert {facts["type"] for _, facts in ftp.mlsd(facts=["type", "size"])} == {"file"}
        lines: list[str] = []
        ftp.dir(lines.append)
        assert len(lines) == 3
        lines.clear()
        ftp.retrlines("RETR main.py", lines.append)
        assert lines == ["print(2)"]
        ftp.cwd("..")
        assert ftp.pwd() == "/1.0.1"
        ftp.cwd("/")
        ftp.voidcmd("TYPE I")
        assert ftp.size("firmware_1.0.1.bin") == BIG_BYTES
        parts: list[bytes] = []
        ftp.retrbinary("RETR firmware_1.0.1.bin", parts.append, rest=1_000)
        assert b"".join(parts) == TREE["firmware_1.0.1.bin"][1_000:]
        with pytest.raises(ftplib.error_perm, match="550 There is nothing at this address"):
            ftp.retrbinary("RETR nothing", parts.append)
        assert ftp.sendcmd("NOOP").startswith("200")
        assert ftp.quit().startswith("221")

    def test_transfercmd_and_abort(self, ftp: ftplib.FTP) -> None:
        data, size = ftp.ntransfercmd("RETR firmware_1.0.1.bin")
        assert size in (None, BIG_BYTES)
        data.recv(100)
        # The last byte of this is urgent.
        assert ftp.abort()[:3] in ("426", "226")
        assert ftp.voidresp().startswith("226")
        data.close()
        assert ftp.sendcmd("NOOP").startswith("200")

    def test_a_stranger_does_not_get_the_data(self, ftp: ftplib.FTP, server: TreeServer) -> None:
        host, port = ftp.makepasv()
        elsewhere = ("127.0.0.2", 0)
        with socket.create_connection((host, port), 5, elsewhere) as stranger:
            assert stranger.recv(1) == b""
        with socket.create_connection((host, port), 5) as data:
            ftp.sendcmd("RETR 1.0.1/flash/main.py")
            assert data.recv(100) == b"print(2)\n"
        ftp.voidresp()

    @pytest.mark.parametrize("when", ["before the command", "during the transfer"])
    def test_a_client_that_closes_its_sending_side_gets_everything(
        self, ftp: ftplib.FTP, when: str
    ) -> None:
        with socket.create_connection(ftp.makepasv(), 5) as data:
            if when.startswith("before"):
                data.shutdown(socket.SHUT_WR)
                time.sleep(0.2)
            assert ftp.sendcmd("RETR firmware_1.0.1.bin").startswith("150")
            if when.startswith("during"):
                data.shutdown(socket.SHUT_WR)
            assert sum(iter(lambda: len(data.recv(1 << 16)), 0)) == BIG_BYTES
        assert ftp.voidresp() == "226 Sent."

    def test_a_client_that_closes_both_sides_ends_its_transfer(self, ftp: ftplib.FTP) -> None:
        with socket.create_connection(ftp.makepasv(), 5) as data:
            data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            data.shutdown(socket.SHUT_WR)
            assert ftp.sendcmd("RETR firmware_1.0.1.bin").startswith("150")
        try:
            reply = ftp.voidresp()  # the kernel has taken all of it before the client closed
        except ftplib.error_temp as error:
            reply = str(error)
        assert reply.startswith(("226 ", "426 The data connection was lost"))
        assert ftp.sendcmd("NOOP").startswith("200")

    def test_a_client_with_two_addresses_is_told_so(
        self, ftp: ftplib.FTP, server: TreeServer
    ) -> None:
        ftp.source_address = ("127.0.0.2", 0)
        began_s = time.monotonic()
        with pytest.raises(ftplib.error_temp, match=r"425 .* from 127\.0\.0\.2, and not from"):
            ftp.nlst()
        assert time.monotonic() - began_s < 10, "the time-out is 30 s"
        wait_until(lambda: any("127.0.0.2 and was refused" in line for line in server.log))
        assert ftp.sendcmd("NOOP").startswith("200")

    def test_patterns(self, ftp: ftplib.FTP) -> None:
        assert ftp.nlst("*.bin") == ["firmware_1.0.1.bin"]
        assert ftp.nlst("1.0.1/flash/m???.py") == ["1.0.1/flash/main.py"]
        lines: list[str] = []
        ftp.dir("-l", "*.bin", lines.append)
        assert len(lines) == 1

    def test_the_size_is_told(self, ftp: ftplib.FTP) -> None:
        data, size = ftp.ntransfercmd("RETR firmware_1.0.1.bin")
        with data:
            assert sum(iter(lambda: len(data.recv(1 << 20)), 0)) == size == BIG_BYTES
        assert ftp.voidresp() == "226 Sent."

    def test_ports_come_from_the_range_and_go_back(
        self, ftp: ftplib.FTP, server: TreeServer
    ) -> None:
        for _ in range(len(PASSIVE_PORTS) * 3):
            assert ftp.makepasv()[1] in PASSIVE_PORTS
        others = []
        for _ in range(len(PASSIVE_PORTS) - 1):
            other = ftplib.FTP(timeout=20)
            other.connect(LOOPBACK, server.ftp_port)
            other.login()
            other.makepasv()
            others.append(other)
        full = ftplib.FTP(timeout=20)
        full.connect(LOOPBACK, server.ftp_port)
        full.login()
        with pytest.raises(ftplib.error_temp, match="425"):
            full.makepasv()
        others[0].close()
        wait_until(lambda: full.sendcmd("NOOP") and can_open(full))
        for other in (*others, full):
            other.close()

    def test_the_server_goes_on_while_many_stall(self, server: TreeServer) -> None:
        stalled = []
        for _ in range(len(PASSIVE_PORTS) - 1):
            ftp = ftplib.FTP(timeout=20)
            ftp.connect(LOOPBACK, server.ftp_port)
            ftp.login()
            stalled.append((ftp, ftp.transfercmd("RETR firmware_1.0.1.bin")))
        assert run("curl", "-sS", f"{server.ftp_url}/1.0.1/flash/main.py") == b"print(2)\n"
        for ftp, data in stalled:
            data.close()
            ftp.close()


def can_open(ftp: ftplib.FTP) -> bool:
    try:
        ftp.makepasv()
    except ftplib.error_temp:
        return False
    return True


def test_many_at_once(server: TreeServer) -> None:
    """Each gets its own bytes, though the ports are fewer than the clients."""
    results = []

    def fetch() -> None:
        with ftplib.FTP(timeout=20) as ftp:
            ftp.connect(LOOPBACK, server.ftp_port)
            ftp.login()
            parts: list[bytes] = []
            while not parts:
                with contextlib.suppress(ftplib.error_temp):
                    ftp.retrbinary("RETR firmware_1.0.1.bin", parts.append)
            results.append(b"".join(parts) == TREE["firmware_1.0.1.bin"])

    threads = [threading.Thread(target=fetch) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 12


def check_mirror(folder: Path) -> None:
    """All of the tree is there, and its manifests."""
    for path, content in TREE.items():
        assert (folder / path).read_bytes() == content
    for path in ("manifest.json", "lopy4/manifest.json"):
        assert json.loads((folder / path).read_bytes())["version"]
