from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ftp.site import Client, Site
from tests.support.trees import write_tree

NAMES = "ünïcode näme.txt"

FIRMWARE = (bytes(range(0xE9, 256)) + bytes(range(0xE9))) * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with two releases, a firmware, a product, and names that need care."""
    root = tmp_path / "tree"
    files = {
        "1.0.0/flash/main.py": b"print(1)\n",
        "1.0.1/flash/main.py": b"print(2)\n",
        "1.0.1/flash/lib/x.py": b"x = 1\r\ny = 2\n",
        "1.0.1/sd/empty": b"",
        f"1.0.1/sd/{NAMES}": b"unicode\n",
        "lopy4/q?a=b": b"question\n",
        "1.0.1/sd/a folder/f": b"inside\n",
        'lopy4/a "quoted" one/f': b"quoted\n",
        "firmware_1.0.1.bin": FIRMWARE,
        "lopy4/2.0.0/flash/main.py": b"print('lopy4')\n",
        ".hidden/secret": b"secret",
        "1.0.1/.git/config": b"secret",
    }
    write_tree(root, files)
    (tmp_path / "outside").write_bytes(b"outside")
    (root / "1.0.1/sd/link").symlink_to(tmp_path / "outside")
    return root


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    site = Site(root)
    yield site
    site.close()


@pytest.fixture
def client(site: Site) -> Client:
    return site.log_in()
