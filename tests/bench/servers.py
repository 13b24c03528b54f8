"""The servers that are measured, each a process of its own on the first core."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import LOOPBACK, PROJECT, environment, twistd

SERVER_CORE = 0
LOAD_CORE = 1
START_TIMEOUT_S = 60.0

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Peer:
    """A running server.

    Attributes:
        name: what it is called in the tables.
        url: what the load is sent to.
        pid: the process that does the work.
    """

    name: str
    url: str
    pid: int

    def cpu_s(self) -> float:
        """The processor time that the server has taken, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def peak_mb(self) -> float:
        """The most memory that it ever had, in MB."""
        return self._memory_mb("VmHWM")

    def resident_mb(self) -> float:
        """The memory that it has now, in MB."""
        return self._memory_mb("VmRSS")

    def _memory_mb(self, field: str) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        memory = re.search(rf"{field}:\s+(\d+) kB", status)
        assert memory, status
        return int(memory[1]) / 1024


def require(*programs: str) -> None:
    """Say what is missing, rather than fail half-way."""
    missing = [name for name in programs if shutil.which(name, path=search_path()) is None]
    if missing:
        sys.exit(f"This benchmark needs {', '.join(missing)} (Debian: wrk, nginx-light).")


@contextlib.contextmanager
def otaserver(root: Path, state: Path, path: str) -> Iterator[Peer]:
    """This project's server as a user starts it, with its access log on."""
    port = free_port()
    command = [twistd(), "--nodaemon", "--pidfile=", f"--logfile={state.parent}/otaserver.log"]
    command += ["otaserver", "--root", str(root), "--state", str(state)]
    command += ["--http", f"tcp:{port}:interface={LOOPBACK}", "--ftp", ""]
    with running(command, port) as pid:
        url = f"http://{LOOPBACK}:{port}{path}"
        _wait_for_answer(url)
        yield Peer("otaserver", url, pid)


@contextlib.contextmanager
def nginx(root: Path, folder: Path, path: str) -> Iterator[Peer]:
    """nginx, one worker, serving the same bytes as plain files."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {folder}/pid; user root;\n"
        f"error_log {folder}/error.log;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; sendfile on; keepalive_requests 100000000;\n"
        f"server {{ listen {LOOPBACK}:{port}; root {root}; }} }}\n"
    )
    with running([path_to("nginx"), "-c", str(config)], port) as pid:
        worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        yield Peer("nginx", f"http://{LOOPBACK}:{port}{path}", int(worker))


@contextlib.contextmanager
def python_peer(name: str, module: str, *arguments: str) -> Iterator[Peer]:
    """A small server from tests/bench/peers, which takes its port first."""
    port = free_port()
    command = [sys.executable, "-m", f"tests.bench.peers.{module}", str(port), *arguments]
    with running(command, port) as pid:
        yield Peer(name, f"http://{LOOPBACK}:{port}/", pid)


@contextlib.contextmanager
def running(command: list[str], port: int, greeting: bytes = b"") -> Iterator[int]:
    """Run a server on the first core, once it listens and greets; gives its process."""
    pinned = ["taskset", "-c", str(SERVER_CORE), *command]
    process = subprocess.Popen(pinned, env=environment(), cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        _wait_for_port(process, port, greeting)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for_port(process: "subprocess.Popen[bytes]", port: int, greeting: bytes) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            sys.exit(f"{process.args!r} ended at once.")
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1) as probe:
            if not greeting or probe.recv(len(greeting)) == greeting:
                return
        time.sleep(0.05)
    sys.exit(f"{process.args!r} does not listen.")


def _wait_for_answer(url: str) -> None:
    """Wait until the tree is read and has settled."""
    for _ in range(int(START_TIMEOUT_S / 0.2)):
        got = subprocess.run(["curl", "-sf", url], capture_output=True).stdout
        if got not in (b"", b"null"):
            return
        time.sleep(0.2)
    sys.exit(f"{url} has no answer.")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def search_path() -> str:
    """Where servers are, which an ordinary user's path leaves out."""
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def path_to(program: str) -> str:
    """The whole path of a program, which has to be there."""
    path = shutil.which(program, path=search_path())
    if path is None:
        sys.exit(f"{program} is missing.")
    return path
