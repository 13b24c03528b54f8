from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.transport import OverFTP, OverHTTP, Transport
from tests.support.process import Server, running_server
from tests.support.trees import write_tree

NAME = "ünïcode näme.txt"
FIRMWARE = (bytes(range(0xE9, 256)) + bytes(range(0xE9))) * 1_000
OUTSIDE = b"outside\n"

TREE = {
    "1.0.0/flash/main.py": b"print(1)\n",
    "1.0.0/flash/old.py": b"old\n",
    "1.0.0/flash/same.py": b"same\n",
    "1.0.1/flash/main.py": b"print(2)\n",
    "1.0.1/flash/lib/new.py": b"new\n",
    "1.0.1/flash/same.py": b"same\n",
    "1.0.1/flash/empty": b"",
    f"1.0.1/sd/{NAME}": b"unicode\n",
    "1.0.1/sd/a#c%d": b"odd\n",
    "1.0.1/sd/[b];{c}": b"odder\n",
    "texts/a?b#c%d": b"odd\n",
    "texts/back\\slash": b"backslash\n",
    "1.0.1/.git/config": b"secret\n",
    "1.0.1/flash/.DS_Store": b"secret\n",
    "firmware_1.0.0.bin": b"\xe9old",
    "firmware_1.0.1.bin": FIRMWARE,
    ".secret": b"secret\n",
    "lopy4/2.0.0/flash/main.py": b"lopy4\n",
    "texts/readme.txt": b"no version here\n",
    "latest/flash/main.py": b"a release whose name is no version\n",
    "weird/1.0.0/flash/a": b"1\n",
    "weird/1.0.0-rc1/flash/a": b"2\n",
    "weird/v2/flash/a": b"3\n",
    "weird/2banana/flash/a": b"4\n",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "outside").mkdir()
    (folder / "outside/file").write_bytes(OUTSIDE)
    root = write_tree(folder / "tree", TREE)
    (root / "1.0.1/sd/link").symlink_to(folder / "outside/file")
    (root / "1.0.1/sd/folder").symlink_to(folder / "outside")
    (root / "texts/dangling").symlink_to("nothing")
    return root


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(root, tmp_path_factory.mktemp("state") / "state") as server:
        yield server


@pytest.fixture(params=[OverHTTP, OverFTP], ids=["http", "ftp"])
def transport(request: pytest.FixtureRequest, server: Server) -> Transport:
    return request.param(server)
