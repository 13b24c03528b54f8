"""What a well-behaved client notices while others flood the server, and what that takes.

Each flood is a process of its own. Meanwhile, a client with a new connection each time asks
for a manifest, over and over. The aim is half a second at the 99th percentile, and 20 MB.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import trees
from tests.bench.servers import LOAD_CORE, Peer, otaserver, require
from tests.support.process import LOOPBACK, PROJECT

PATH = "/manifest.json?current_ver=1.0.0"
FILES_OF_LARGE_MANIFESTS = 3_000

# How long a flood has to get going.
_START_S = 0.7


class Flood(NamedTuple):
    """A load that is no use to anyone.

    Attributes:
        title: what it is called in the table.
        arguments: those of `tests.bench.peers.flood` after the port; none for no flood.
    """

    title: str
    arguments: Sequence[str]


HTTP_FLOODS = (
    Flood("no flood", ()),
    Flood("40 MB of requests, unread", ("small", "1", "2000000", "unread")),
    Flood("20 times that", ("small", "20", "2000000", "unread")),
    Flood("199 times 60 KB of requests", ("small", "199", "3300", "read")),
    Flood("the same, unread", ("small", "199", "3300", "unread")),
    Flood("20 times 1,500 pages, not cached", ("pages", "20", "1500", "read")),
    Flood("199 times that, unread", ("pages", "199", "1500", "unread")),
    Flood("150 times 3 large manifests, unread", ("manifests", "150", "3", "unread")),
    Flood("the same one each time, unread", ("one-manifest", "150", "3", "unread")),
)


def run(runs: int, seconds: int) -> None:
    """Measure each flood against a server of its own."""
    require("curl", "taskset")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "releases"
        trees.small_fleet(root)
        trees.large(root / "large", FILES_OF_LARGE_MANIFESTS, 10)
        print(f"{'':38}{'median':>10}{'p99':>10}{'worst':>10}{'memory':>12}")
        for number, flood in enumerate(HTTP_FLOODS):
            with otaserver(root, folder / f"state{number}", PATH) as peer:
                _measure(peer, flood, runs * seconds)


def _measure(peer: Peer, flood: Flood, seconds: int) -> None:
    port = int(peer.url.split(":")[2].partition("/")[0])
    _answer_times(port, 1)
    idle_mb = peer.resident_mb()
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "tests.bench.peers.flood"]
    flooding = None
    if flood.arguments:
        flooding = subprocess.Popen([*command, str(port), *flood.arguments], cwd=PROJECT)
    try:
        time.sleep(_START_S)
        times_s, most_mb = [], idle_mb
        for _ in range(seconds):
            times_s += _answer_times(port, 1)
            most_mb = max(most_mb, peer.resident_mb())
    finally:
        if flooding is not None:
            flooding.terminate()
            flooding.wait()
    times_s.sort()
    shown = (times_s[len(times_s) // 2], times_s[int(len(times_s) * 0.99)], times_s[-1])
    figures = "".join(f"{taken_s * 1000:7.0f} ms" for taken_s in shown)
    print(f"{flood.title:38}{figures}{most_mb - idle_mb:+9.1f} MB", flush=True)


def _answer_times(port: int, seconds: float) -> list[float]:
    """Ask again and again; give how long each answer took, in seconds."""
    request = f"GET {PATH} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode()
    taken_s = []
    ends_s = time.perf_counter() + seconds
    while (began_s := time.perf_counter()) < ends_s:
        with socket.create_connection((LOOPBACK, port), 60) as client:
            client.sendall(request)
            answer = b""
            while piece := client.recv(1 << 16):
                answer += piece
        assert answer.startswith(b"HTTP/1.0 200 ") and answer.endswith(b"}"), answer[:100]
        taken_s.append(time.perf_counter() - began_s)
        time.sleep(0.02)
    return taken_s
