"""How many manifests a second."""

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import trees
from tests.bench.load import compare, show
from tests.bench.servers import nginx, otaserver, python_peer, require

CONNECTIONS = 32


def run(runs: int, seconds: int) -> None:
    """Compare manifests from the cache with constant bytes from others."""
    require("wrk", "nginx", "curl", "taskset")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        root = folder / "releases"
        trees.small_fleet(root)
        path = "/manifest.json?current_ver=1.0.0"
        ours = stack.enter_context(otaserver(root, folder / "state", path))
        body = subprocess.run(["curl", "-sf", ours.url], capture_output=True, check=True).stdout
        (folder / "static").mkdir()
        (folder / "static" / "manifest.json").write_bytes(body)
        peers = [
            ours,
            stack.enter_context(
                python_peer("twisted.web resource", "stock_resource", str(len(body)))
            ),
            stack.enter_context(nginx(folder / "static", folder / "nginx", "/manifest.json")),
        ]
        title = f"Manifests of {len(body):,} bytes"
        show(
            f"{title}, {CONNECTIONS} connections kept open",
            peers,
            compare(peers, CONNECTIONS, runs, seconds),
        )
        close = ("-H", "Connection: close")
        show(
            f"{title}, {CONNECTIONS} connections for one request each",
            peers,
            compare(peers, CONNECTIONS, runs, seconds, *close),
        )
        original = stack.enter_context(
            python_peer("original design", "original_design", str(root))
        )
        # It serves one connection at a time.
        pair = [ours, original]
        show(f"{title}, one connection kept open", pair, compare(pair, 1, runs, seconds))
