"""What other clients notice of an FTP flood: ``python -m tests.bench.ftp_floods``.

A hundred connections send commands as fast as they can, without a pause between them, and
read what comes back, or don't. Meanwhile a well-behaved client fetches a device's manifest
again and again, over FTP with a log-in each time, and over HTTP on a connection of its own.
"""

import argparse
import contextlib
import multiprocessing
import os
import selectors
import socket
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from ftplib import FTP
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple, cast

from tests.bench.servers import LOAD_CORE, free_port, running
from tests.support.process import LOOPBACK, twistd
from tests.support.trees import write_tree

CONNECTIONS = 100
FILES = 400
_TIMEOUT_S = 120.0


class Flood(NamedTuple):
    """What each connection of a flood sends.

    Attributes:
        title: what it is called in the table.
        commands: what is sent at once.
        reads: whether the replies are read.
    """

    title: str
    commands: bytes
    reads: bool = True


FLOODS = (
    Flood("no flood", b""),
    Flood("450 STAT folder", b"STAT 1.0.1/flash\r\n" * 450),
    Flood("450 STAT folder, replies not read", b"STAT 1.0.1/flash\r\n" * 450, reads=False),
    Flood("450 STAT *, a folder of 400", b"STAT 1.0.1/flash/*1*\r\n" * 450),
    Flood("10,000 NOOP", b"NOOP\r\n" * 10_000),
    Flood("10,000 empty lines", b"\r\n" * 10_000),
    Flood("200 commands of 8,000 bytes", (b"CWD " + b"x" * 8_000 + b"\r\n") * 200),
    Flood("2,000 EPSV", b"EPSV\r\n" * 2_000),
    Flood("450 SIZE manifest.json", b"SIZE manifest.json?current_ver=1.0.0\r\n" * 450),
)


class Server(NamedTuple):
    """A running server: its ports and its process."""

    ftp_port: int
    http_port: int
    pid: int

    def memory_mb(self) -> float:
        """How much memory it takes, in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ftp_floods", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="how long each flood is watched")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    print(f"{CONNECTIONS} connections; what a well-behaved client's manifest takes, in ms")
    heads = f"{'FTP p50':>9}{'p99':>8}{'max':>8}{'HTTP p50':>10}{'p99':>8}{'max':>8}{'MB':>7}"
    print(f"{'':36}{heads}")
    for flood in FLOODS:
        with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as server:
            _watch(server, flood, options.seconds)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[Server]:
    files = {f"1.0.1/flash/lib/module_{n}.py": b"x = %d\n" % n for n in range(FILES)}
    files |= {f"1.0.1/flash/page_{n}.py": b"y = %d\n" % n for n in range(FILES)}
    root = write_tree(folder / "root", {"1.0.0/flash/main.py": b"print(1)\n", **files})
    ftp_port, http_port = free_port(), free_port()
    command = [twistd(), "--nodaemon", "--pidfile=", f"--logfile={folder}/log", "otaserver"]
    command += ["--root", str(root), "--state", str(folder / "state"), "--settle", "0"]
    command += ["--ftp", f"tcp:{ftp_port}:interface={LOOPBACK}"]
    command += ["--http", f"tcp:{http_port}:interface={LOOPBACK}"]
    with running(command, ftp_port, greeting=b"220") as pid:
        server = Server(ftp_port, http_port, pid)
        deadline_s = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(Exception):
                _fetch_by_ftp(server)
                break
            time.sleep(0.1)
        yield server


def _watch(server: Server, flood: Flood, seconds: float) -> None:
    idle_mb = peak_mb = server.memory_mb()
    # In a process of its own: in a thread, it would keep the other client waiting itself.
    flooding = multiprocessing.Process(target=_send, args=(server.ftp_port, flood), daemon=True)
    if flood.commands:
        flooding.start()
        time.sleep(1)
    taken_s: dict[str, list[float]] = {"ftp": [], "http": []}
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        for name, fetch in (("ftp", _fetch_by_ftp), ("http", _fetch_by_http)):
            began_s = time.monotonic()
            fetch(server)
            taken_s[name].append(time.monotonic() - began_s)
        peak_mb = max(peak_mb, server.memory_mb())
    if flood.commands:
        flooding.kill()
        flooding.join()
    columns = ""
    for width, values in ((9, taken_s["ftp"]), (10, taken_s["http"])):
        inclusive = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values
        columns += f"{median(values) * 1e3:{width}.0f}{inclusive[-1] * 1e3:8.0f}"
        columns += f"{max(values) * 1e3:8.0f}"
    print(f"{flood.title:36}{columns}{peak_mb - idle_mb:+7.1f}", flush=True)


def _send(port: int, flood: Flood) -> None:
    """Send a flood over all its connections, until this process is ended."""
    unsent = {}
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            client = socket.create_connection((LOOPBACK, port), _TIMEOUT_S)
            client.sendall(b"USER anonymous\r\nPASS x\r\n")
            client.setblocking(False)
            unsent[client] = memoryview(b"")
            selector.register(client, selectors.EVENT_WRITE | selectors.EVENT_READ * flood.reads)
        while True:
            for key, events in selector.select():
                client = cast(socket.socket, key.fileobj)
                if events & selectors.EVENT_READ:
                    # Linux drops what is received with this flag, instead of copying it.
                    client.recv(1 << 20, socket.MSG_TRUNC)
                if events & selectors.EVENT_WRITE:
                    left = unsent[client] or memoryview(flood.commands)
                    unsent[client] = left[client.send(left) :]


def _fetch_by_ftp(server: Server) -> None:
    with FTP(timeout=_TIMEOUT_S) as client:
        client.connect(LOOPBACK, server.ftp_port)
        client.login()
        parts: list[bytes] = []
        client.retrbinary("RETR manifest.json?current_ver=1.0.0", parts.append)
        if b"".join(parts) in (b"", b"null"):
            raise RuntimeError("The tree has not been read yet.")


def _fetch_by_http(server: Server) -> None:
    url = f"http://{LOOPBACK}:{server.http_port}/manifest.json?current_ver=1.0.0"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        answer.read()


if __name__ == "__main__":
    main()
