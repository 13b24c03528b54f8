"""How many bytes a second."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import trees
from tests.bench.load import compare, show
from tests.bench.servers import nginx, otaserver, require


def run(runs: int, seconds: int) -> None:
    """Compare downloads with nginx's of the same files."""
    require("wrk", "nginx", "curl", "taskset")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        root = folder / "releases"
        trees.small_fleet(root)
        for path, connections in (
            ("/firmware_1.0.1.bin", 1),
            ("/firmware_1.0.1.bin", 32),
            ("/1.0.1/flash/app/part_1.py", 32),
        ):
            with ExitStack() as stack:
                peers = [
                    stack.enter_context(otaserver(root, folder / "state", path)),
                    stack.enter_context(nginx(root, folder / "nginx", path)),
                ]
                size = (root / path[1:]).stat().st_size
                title = f"Downloads of {size:,} bytes, {connections} at a time"
                show(title, peers, compare(peers, connections, runs, seconds))
