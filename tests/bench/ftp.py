"""FTP downloads and memory, beside vsftpd and pyftpdlib: ``python -m tests.bench.ftp``.

Each server has the first core for itself, and the load the second. Servers are
driven in turn within one run, so that a slow minute is slow for all. What is
worth quoting are the ratios.
"""

import argparse
import contextlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.ftp_load import Client, Rate, drive, fetch_rate
from tests.bench.ftp_servers import (
    FTPPeer,
    otaserver,
    pyftpdlib,
    require_peers,
    vsftpd,
)
from tests.bench.servers import LOAD_CORE

IDLE_CONNECTIONS = 1_000
SMALL_BYTES = 1_600_000
LARGE_BYTES = 200_000_000


class Load(NamedTuple):
    """One kind of load.

    Attributes:
        title: what it is called in the tables.
        name, size_bytes: the file, and its length.
        fetches: how often each client fetches it.
        at_a_time: how many clients there are.
    """

    title: str
    name: str
    size_bytes: int
    fetches: int
    at_a_time: int


LOADS = (
    Load("1.6 MB, one after another", "small.bin", SMALL_BYTES, 400, 1),
    Load("1.6 MB, 32 at a time", "small.bin", SMALL_BYTES, 30, 32),
    Load("200 MB", "large.bin", LARGE_BYTES, 8, 1),
)


class Memory(NamedTuple):
    """What an idle control connection takes, in KB, before and after a transfer on it."""

    fresh_kb: float
    used_kb: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ftp", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how many runs the medians are of")
    parser.add_argument("--no-memory", action="store_true", help="leave out the connections")
    options = parser.parse_args()
    require_peers()
    os.sched_setaffinity(0, {LOAD_CORE})
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
    )
    with tempfile.TemporaryDirectory() as folder:
        root = _tree(Path(folder))
        with _running(root, Path(folder, "rates")) as peers:
            for load in LOADS:
                _compare(load, peers, options.runs)
        if not options.no_memory:
            # Servers that were busy have memory to spare.
            with _running(root, Path(folder, "memory")) as peers:
                _compare_memory(peers)


@contextlib.contextmanager
def _running(root: Path, scratch: Path) -> Iterator[list[FTPPeer]]:
    with contextlib.ExitStack() as stack:
        peers = []
        for start in (otaserver, vsftpd, pyftpdlib):
            own = scratch / start.__name__
            own.mkdir(parents=True)
            peers.append(stack.enter_context(start(root, own)))
        _wait_until_served(peers[0])
        yield peers


def _tree(folder: Path) -> Path:
    folder.chmod(0o755)
    root = folder / "root"
    root.mkdir()
    for name, size_bytes in (("small.bin", SMALL_BYTES), ("large.bin", LARGE_BYTES)):
        (root / name).write_bytes(os.urandom(size_bytes))
    # vsftpd serves no root that somebody could write to.
    root.chmod(0o555)
    return root


def _wait_until_served(peer: FTPPeer) -> None:
    client = Client(peer.port)
    for _ in range(300):
        if client.ask("SIZE large.bin").startswith("213"):
            client.close()
            return
        time.sleep(0.1)
    raise SystemExit("The tree was not read in time.")


def _compare(load: Load, peers: Sequence[FTPPeer], runs: int) -> None:
    taken: dict[str, list[Rate]] = {peer.name: [] for peer in peers}
    for _ in range(runs):
        for peer in peers:
            rate = fetch_rate(peer, load.name, load.size_bytes, load.fetches, load.at_a_time)
            taken[peer.name].append(rate)
    medians = {
        name: Rate(median(r.mb_per_s for r in rates), median(r.mb_per_cpu_s for r in rates))
        for name, rates in taken.items()
    }
    print(f"\n{load.title}\n{'':12}{'MB/s':>10}{'MB/CPU-s':>10}")
    for peer in peers:
        rate = medians[peer.name]
        print(f"{peer.name:12}{rate.mb_per_s:10,.0f}{rate.mb_per_cpu_s:10,.0f}")
    ours = medians[peers[0].name]
    for peer in peers[1:]:
        rate = medians[peer.name]
        print(
            f"{peers[0].name} / {peer.name}: {ours.mb_per_s / rate.mb_per_s:.2f} in MB/s, "
            f"{ours.mb_per_cpu_s / rate.mb_per_cpu_s:.2f} in MB/CPU-s"
        )


def _compare_memory(peers: Sequence[FTPPeer]) -> None:
    print(f"\n{IDLE_CONNECTIONS} idle control connections, KB each")
    print(f"{'':12}{'fresh':>10}{'after RETR':>12}")
    for peer in peers:
        memory = _memory(peer)
        print(f"{peer.name:12}{memory.fresh_kb:10.1f}{memory.used_kb:12.1f}")


def _memory(peer: FTPPeer) -> Memory:
    before_kb = peer.memory_kb()
    clients = [Client(peer.port) for _ in range(IDLE_CONNECTIONS)]
    time.sleep(2)
    fresh_kb = peer.memory_kb() - before_kb
    for client in clients:
        drive([client.fetch("small.bin", SMALL_BYTES)])
    time.sleep(2)
    used_kb = peer.memory_kb() - before_kb
    for client in clients:
        client.close()
    return Memory(fresh_kb / IDLE_CONNECTIONS, used_kb / IDLE_CONNECTIONS)


if __name__ == "__main__":
    main()
