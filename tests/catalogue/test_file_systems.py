"""Files are recognized on sticks and cards too, whose inode numbers come and go."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from otaserver.catalogue.file_systems import FileSystems
from otaserver.catalogue.hash_store import HashStore
from otaserver.catalogue.hashing import Hashes, hash_file
from otaserver.catalogue.model import Catalogue
from otaserver.catalogue.scan import Scanner
from otaserver.catalogue.stamps import FileChanged, Stamp, open_stamped, stamp_of
from tests.catalogue.finding import file_at
from tests.support.mounts import exfat_image, fat_image, mounted_image
from tests.support.trees import SMALL_TREE, write_tree

MOUNTS = """\
22 27 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
27 1 254:0 / / rw,noatime - ext4 /dev/vda rw
40 27 8:1 / /media/fat rw,relatime shared:9 - vfat /dev/sda1 rw,fmask=0022
41 27 8:2 / /media/with\\040space rw - exfat /dev/sda2 rw
42 27 7:0 / /media/user rw,nosuid - fuseblk /dev/loop0 rw
43 27 0:50 / /media/ssh rw - fuse.sshfs host:/ rw
44 27 0:51 / /btrfs rw master:1 - btrfs /dev/sdb rw,subvol=/a - b
"""


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ((254, 0), True),
        ((8, 1), False),
        ((8, 2), False),
        ((7, 0), False),
        ((0, 50), False),
        ((0, 51), True),
        ((9, 9), True),
    ],
)
def test_the_kind_of_file_system_tells(device: tuple[int, int], expected: bool) -> None:
    assert FileSystems(lambda: MOUNTS).keeps_inodes(os.makedev(*device)) is expected


def test_where_nothing_is_known_inodes_count(tmp_path: Path) -> None:
    assert FileSystems(lambda: "").keeps_inodes(tmp_path.stat().st_dev)
    assert FileSystems().keeps_inodes(tmp_path.stat().st_dev + 1000)


def test_without_inodes_a_file_is_the_same_by_size_and_time(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    for path in (file, other):
        path.write_bytes(b"1")
        os.utime(path, (1, 1))
    on_stick, on_disk = (stamp_of(file.stat(), keeps) for keeps in (False, True))
    other.rename(file)
    os.close(open_stamped(str(file), on_stick))
    with pytest.raises(FileChanged):
        open_stamped(str(file), on_disk)
    os.utime(file, (1, 2))
    with pytest.raises(FileChanged):
        open_stamped(str(file), on_stick)


def change_mode(path: Path) -> None:
    path.chmod(0o600)


def link(path: Path) -> None:
    (path.parent.parent / "backup").hardlink_to(path)


@pytest.mark.parametrize("touch", [change_mode, link])
def test_a_file_whose_metadata_changes_is_sent_and_hashed_again(
    tmp_path: Path, touch: Callable[[Path], None]
) -> None:
    path = tmp_path / "tree" / "file"
    path.parent.mkdir()
    path.write_bytes(b"1")
    stamp = stamp_of(path.stat())
    while stamp_of(path.stat()) == stamp:  # the clock of file systems has ticks
        touch(path)
        (tmp_path / "backup").unlink(missing_ok=True)
    os.close(open_stamped(str(path), stamp))
    with pytest.raises(FileChanged):
        hash_file(str(path), stamp, lambda: None)


@pytest.mark.parametrize("field", ["inode", "size_bytes", "mtime_ns"])
def test_what_tells_another_file(tmp_path: Path, field: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1")
    stamp = stamp_of(path.stat())
    with pytest.raises(FileChanged):
        open_stamped(str(path), stamp._replace(**{field: 99}))


@pytest.mark.parametrize("time_ns", [-(10**9 << 63), -1, 0, 1, (10**9 << 63) - 1])
def test_a_stamp_can_be_written_down(time_ns: int) -> None:
    stamp = Stamp((1 << 64) - 1, (1 << 64) - 1, time_ns, time_ns)
    assert Stamp.unpacked(stamp.packed() + b"more") == stamp


def scan(root: Path, state: Path, read: list[str]) -> Catalogue:
    """Scan a tree with the hashes of former scans, and note what is read."""

    def noted(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
        read.append(os.path.relpath(path, root))
        return hash_file(path, stamp, check)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("otaserver.catalogue.scan.hash_file", noted)
        hashes = HashStore(state)
        catalogue = Scanner(str(root), hashes, 0).scan()
        hashes.close()
    return catalogue


@pytest.mark.real
@pytest.mark.parametrize("make_image", [fat_image, exfat_image])
def test_a_stick_that_is_put_in_again_is_not_read_again(
    tmp_path: Path, make_image: Callable[[Path], Path]
) -> None:
    image, stick = make_image(tmp_path / "image"), tmp_path / "stick"
    state, read = tmp_path / "hashes.sqlite3", list[str]()
    with mounted_image(image, stick):
        write_tree(stick, SMALL_TREE)
        catalogue = scan(stick, state, read)
    assert set(read) == set(SMALL_TREE)
    main = file_at(catalogue, "1.0.1", "flash", "main.py")
    read.clear()
    with mounted_image(image, stick):
        # Numbers are given out as files are looked at: now in another order.
        inodes = [(stick / path).stat().st_ino for path in reversed(SMALL_TREE)]
        again = scan(stick, state, read)
        assert len(set(inodes)) == len(SMALL_TREE)
        assert list(again.root.walk()) == list(catalogue.root.walk())
        os.close(open_stamped(str(stick / main.path), main.stamp))
        shutil.rmtree(stick / "1.0.0")
    assert read == []


@pytest.mark.real
@pytest.mark.parametrize("make_image", [fat_image, exfat_image])
def test_caches_that_are_dropped_change_nothing(
    tmp_path: Path, make_image: Callable[[Path], Path]
) -> None:
    image, stick = make_image(tmp_path / "image"), tmp_path / "stick"
    state, read = tmp_path / "hashes.sqlite3", list[str]()
    with mounted_image(image, stick):
        write_tree(stick, SMALL_TREE)
        scan(stick, state, read)
        read.clear()
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("2")
        scan(stick, state, read)
    assert read == []
