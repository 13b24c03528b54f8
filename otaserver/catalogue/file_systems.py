"""What the kernel says of the file systems that a release tree is on.

FAT and exFAT, which sticks and cards have, keep no inode numbers: Linux makes them up when it
first looks at a file, so they change with each mount, and whenever the kernel has dropped what
it knew. The same holds for most file systems in user space, and for some network shares.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_WITHOUT_INODES = frozenset({"vfat", "msdos", "exfat", "fuseblk", "fuse", "cifs", "smb3"})


def _read_mounts() -> str:
    # Other systems than Linux have no such file.
    try:
        return Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        return ""


class FileSystems:
    """Tells which file systems keep inode numbers, and whose disk is gone.

    Args:
        read_mounts: reads what is mounted, in the format of ``/proc/self/mountinfo`` (see
            proc(5)).
        disks: the folder in which the kernel lists disks by their number.
    """

    def __init__(
        self,
        read_mounts: Callable[[], str] = _read_mounts,
        disks: Path = Path("/sys/dev/block"),
    ) -> None:
        self._read_mounts = read_mounts
        self._disks = disks
        self._without_inodes: frozenset[int] | None = None
        self._present: set[int] = set()

    def look_again(self) -> None:
        """Forget what is mounted, which may change between scans."""
        self._without_inodes = None

    def keeps_inodes(self, device: int) -> bool:
        """Tell whether a file has the same inode number as long as it exists.

        Args:
            device: the number of the device that the file is on.

        Returns:
            Whether it has; also for a file system that is not known.
        """
        if self._without_inodes is None:
            self._without_inodes = frozenset(_devices_without_inodes(self._read_mounts()))
        return device not in self._without_inodes

    def is_gone(self, device: int) -> bool:
        """Tell whether a disk has been pulled out, though its file system is still mounted.

        Args:
            device: the number of the device.

        Returns:
            Whether the kernel no longer has it, but did when this was last asked. What is
            no disk, such as a share, is never gone.
        """
        if (self._disks / f"{os.major(device)}:{os.minor(device)}").exists():
            self._present.add(device)
            return False
        return device in self._present


def _devices_without_inodes(mounts: str) -> Iterator[int]:
    for line in mounts.splitlines():
        ours, _, theirs = line.partition(" - ")
        kind = theirs.partition(" ")[0]
        if kind.partition(".")[0] in _WITHOUT_INODES:
            major, _, minor = ours.split()[2].partition(":")
            yield os.makedev(int(major), int(minor))
