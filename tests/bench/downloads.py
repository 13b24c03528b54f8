"""How many bytes a second."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import trees
from tests.bench.load import compare, show
from tests.bench.servers import nginx, otaserver, require

_FIRMWARE = "/firmware_1.0.1.bin"
_SMALL = "/1.0.1/flash/app/part_1.py"

# More small files than are read a second, so that many have to be opened.
_MANY = 20_000
_IN_TURN = f"""\
local number = 0
request = function()
    number = (number + 1) % {_MANY}
    return wrk.format("GET", string.format("/1.0.1/flash/more_%d/%d.py", number % 100, number))
end
"""


def run(runs: int, seconds: int) -> None:
    """Compare downloads with nginx's of the same files."""
    require("wrk", "nginx", "curl", "taskset")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        root = folder / "releases"
        trees.small_fleet(root)
        trees.more_small_files(root / "1.0.1", _MANY)
        many = folder / "many.lua"
        many.write_text(_IN_TURN)
        for path, connections, arguments, how in (
            (_FIRMWARE, 1, (), ""),
            (_FIRMWARE, 32, (), ""),
            (_SMALL, 32, (), ""),
            (_SMALL, 1, (), ""),
            (_SMALL, 32, ("-H", "Connection: close"), ", a connection each"),
            (_SMALL, 32, ("-s", str(many)), f", {_MANY:,} files in turn"),
        ):
            with ExitStack() as stack:
                peers = [
                    stack.enter_context(otaserver(root, folder / "state", path)),
                    stack.enter_context(nginx(root, folder / "nginx", path)),
                ]
                size = (root / path[1:]).stat().st_size
                title = f"Downloads of {size:,} bytes, {connections} at a time{how}"
                show(title, peers, compare(peers, connections, runs, seconds, *arguments))
