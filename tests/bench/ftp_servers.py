"""The FTP servers that are measured, each a process of its own on the first core."""

import contextlib
import pwd
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.servers import free_port, path_to, running, search_path
from tests.support.process import LOOPBACK, twistd


@dataclass(frozen=True)
class FTPPeer:
    """A running FTP server.

    Attributes:
        name: what it is called in the tables.
        port: where it listens.
        pid: its first process.
    """

    name: str
    port: int
    pid: int

    def pids(self) -> list[int]:
        """All its processes: vsftpd has several for each client."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += map(int, (task / "children").read_text().split())
        return found

    def cpu_s(self) -> float:
        """The processor time that all its processes have taken, in seconds."""
        total_ns = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total_ns += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
        return total_ns / 1e9

    def memory_kb(self) -> float:
        """The memory of all its processes, shared pages counted once, in KB."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                pss = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
                assert pss, rollup
                total += int(pss[1])
        return total


@contextlib.contextmanager
def otaserver(root: Path, scratch: Path) -> Iterator[FTPPeer]:
    """This project's server as a user starts it, with its access log on."""
    port = free_port()
    command = [twistd(), "--nodaemon", "--pidfile=", f"--logfile={scratch}/otaserver.log"]
    command += ["otaserver", "--root", str(root), "--state", str(scratch / "state")]
    command += ["--http", "", "--ftp", f"tcp:{port}:interface={LOOPBACK}"]
    command += ["--ftp-max-per-address", "0", "--ftp-idle-timeout", "3600"]
    with _running("otaserver", command, port) as peer:
        yield peer


@contextlib.contextmanager
def vsftpd(root: Path, scratch: Path) -> Iterator[FTPPeer]:
    """Debian's vsftpd for anonymous users."""
    port = free_port()
    empty = scratch / "empty"
    empty.mkdir()
    config = scratch / "vsftpd.conf"
    lines = [
        "listen=YES", "background=NO", f"listen_port={port}", f"listen_address={LOOPBACK}",
        "anonymous_enable=YES", "no_anon_password=YES", f"anon_root={root}",
        f"secure_chroot_dir={empty}", "xferlog_enable=NO", "max_clients=0", "max_per_ip=0",
        "use_sendfile=YES", "seccomp_sandbox=NO", "idle_session_timeout=3600",
    ]  # fmt: skip
    config.write_text("\n".join(lines) + "\n")
    with _running("vsftpd", [path_to("vsftpd"), str(config)], port) as peer:
        yield peer


@contextlib.contextmanager
def pyftpdlib(root: Path, scratch: Path) -> Iterator[FTPPeer]:
    """pyftpdlib for anonymous users, without a log."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.peers.ftp_pyftpdlib", str(port), str(root)]
    with _running("pyftpdlib", command, port) as peer:
        yield peer


def require_peers() -> None:
    """Say what is missing, rather than fail half-way."""
    if shutil.which("vsftpd", path=search_path()) is None:
        sys.exit("This benchmark needs vsftpd (Debian).")
    try:
        import pyftpdlib  # noqa: F401
    except ImportError:
        sys.exit("This benchmark needs pyftpdlib (the extra named bench).")
    try:
        pwd.getpwnam("ftp")
    except KeyError:
        sys.exit("vsftpd needs a user named ftp.")


@contextlib.contextmanager
def _running(name: str, command: list[str], port: int) -> Iterator[FTPPeer]:
    with running(command, port, greeting=b"220") as pid:
        yield FTPPeer(name, port, pid)
