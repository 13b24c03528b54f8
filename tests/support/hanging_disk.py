"""A disk that hangs when the test says so: a read-only file system over a folder, by FUSE.

The kernel asks `HangingDisk` for everything, each time anew, and whoever asked the kernel
waits for the answer, as with a network share whose server is away or a stick that is
failing. The requests and answers are those of ``/usr/include/linux/fuse.h``; mounting
needs root and ``/dev/fuse``.
"""

import ctypes
import errno
import os
import select
import shutil
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import pytest

_REQUEST = struct.Struct("<IIQQIIIHH")
_ANSWER = struct.Struct("<IiQ")
_ENTRY = struct.Struct("<QQQQII")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_READ = struct.Struct("<QQI")
_DIRECTORY_ENTRY = struct.Struct("<QQII")
_BUFFER_BYTES = 1 << 20
_ROOT = 1
_TURN_S = 0.02

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH = 1, 2, 3, 14, 15, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 26, 27, 28, 29, 36, 42
_WITHOUT_ANSWER = (FORGET, INTERRUPT, BATCH_FORGET)

_MNT_DETACH = 2

# Decides by the path below the folder whether a request has to wait.
Hangs = Callable[[str], bool]


class HangingDisk:
    """Answers the kernel in a thread, unless it is said to hang.

    Args:
        source: the folder that it shows.
        device: ``/dev/fuse``, opened and mounted.
    """

    def __init__(self, source: Path, device: int) -> None:
        self._source = source
        self._device = device
        self._paths = {_ROOT: ""}
        self._nodes = {"": _ROOT}
        self._lock = threading.Lock()
        self._hangs: Hangs | None = None
        self._held: list[bytes] = []
        self._is_deaf = False
        self._answers = MappingProxyType(
            {
                INIT: self._init,
                LOOKUP: self._look_up,
                GETATTR: self._attributes,
                OPEN: self._open,
                OPENDIR: self._open,
                READ: self._read,
                READDIR: self._list,
                RELEASE: self._nothing,
                RELEASEDIR: self._nothing,
                FLUSH: self._nothing,
            }
        )

    @property
    def held(self) -> int:
        """How many requests wait for an answer."""
        return len(self._held)

    def hang(self, hangs: Hangs = lambda path: True) -> None:
        """Leave requests without an answer from now on."""
        with self._lock:
            self._hangs = hangs

    def turn_deaf(self) -> None:
        """Take no requests from now on: what waits for the disk can then still be killed.

        Once a request has been taken, the kernel lets even SIGKILL wait for its answer.
        """
        self._is_deaf = True

    def go_on(self) -> None:
        """Answer what has waited, and everything from now on."""
        with self._lock:
            self._hangs = None
            self._is_deaf = False
            held, self._held = self._held, []
        for request in held:
            self._answer(request)

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        while True:
            if self._is_deaf or not select.select([self._device], [], [], _TURN_S)[0]:
                time.sleep(_TURN_S if self._is_deaf else 0)
                continue
            try:
                request = os.read(self._device, _BUFFER_BYTES)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return
            node = _REQUEST.unpack_from(request)[3]
            with self._lock:
                if self._hangs is not None and self._hangs(self._paths.get(node, "")):
                    self._held.append(request)
                    continue
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        _, opcode, unique, node, *_ = _REQUEST.unpack_from(request)
        if opcode in _WITHOUT_ANSWER:
            return
        body, status = b"", -errno.ENOSYS
        if opcode in self._answers:
            try:
                body = self._answers[opcode](node, request[_REQUEST.size :])
                status = 0
            except OSError as error:
                status = -(error.errno or errno.EIO)
        # Who asked may have been killed by now.
        with suppress(OSError):
            os.write(self._device, _ANSWER.pack(_ANSWER.size + len(body), status, unique) + body)

    def _path(self, node: int) -> str:
        return os.path.join(self._source, self._paths[node])

    def _status(self, path: str) -> bytes:
        found = os.lstat(os.path.join(self._source, path))
        times_ns = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
        return _ATTRIBUTES.pack(
            found.st_ino,
            found.st_size,
            found.st_blocks,
            *(time_ns // 10**9 for time_ns in times_ns),
            *(time_ns % 10**9 for time_ns in times_ns),
            found.st_mode,
            found.st_nlink,
            0,
            0,
            0,
            4096,
            0,
        )

    def _init(self, node: int, body: bytes) -> bytes:
        read_ahead_bytes = struct.unpack_from("<III", body)[2]
        return struct.pack("<IIIIHHII32x", 7, 31, read_ahead_bytes, 0, 64, 48, 4096, 1)

    def _look_up(self, node: int, body: bytes) -> bytes:
        path = os.path.join(self._paths[node], os.fsdecode(body.rstrip(b"\0")))
        status = self._status(path)
        found = self._nodes.setdefault(path, len(self._nodes) + 1)
        self._paths[found] = path
        return _ENTRY.pack(found, 0, 0, 0, 0, 0) + status

    def _attributes(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + self._status(self._paths[node])

    def _open(self, node: int, body: bytes) -> bytes:
        os.lstat(self._path(node))
        return struct.pack("<QII", 0, 0, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        _, offset, size_bytes = _READ.unpack_from(body)
        with open(self._path(node), "rb") as file:
            return os.pread(file.fileno(), size_bytes, offset)

    def _list(self, node: int, body: bytes) -> bytes:
        _, offset, size_bytes = _READ.unpack_from(body)
        listed = b""
        for number, name in enumerate(sorted(os.listdir(self._path(node))), 1):
            found = os.lstat(os.path.join(self._path(node), name))
            raw = os.fsencode(name)
            head = _DIRECTORY_ENTRY.pack(
                found.st_ino, number, len(raw), stat.S_IFMT(found.st_mode) >> 12
            )
            entry = head + raw + b"\0" * (-len(raw) % 8)
            if number > offset:
                if len(listed) + len(entry) > size_bytes:
                    break
                listed += entry
        return listed

    def _nothing(self, node: int, body: bytes) -> bytes:
        return b""


@contextmanager
def mounted(source: Path, folder: Path) -> Iterator[HangingDisk]:
    """Show a folder through a disk that can hang; skip the test where that is impossible."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no FUSE here: /dev/fuse: {error.strerror}")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if library.mount(b"test", bytes(folder), b"fuse.test", 0, options.encode()):
        os.close(device)
        pytest.skip(f"mounting needs root: {os.strerror(ctypes.get_errno())}")
    disk = HangingDisk(source, device)
    thread = threading.Thread(target=disk.serve, daemon=True)
    thread.start()
    try:
        yield disk
    finally:
        disk.go_on()
        library.umount2(bytes(folder), _MNT_DETACH)
        thread.join(5)
        os.close(device)


@contextmanager
def mounted_image(tree: Path, scratch: Path, folder: Path) -> Iterator[tuple[HangingDisk, Path]]:
    """Show a copy of a folder as a disk of its own with ext4 on it, whose blocks can hang.

    Yields what makes it hang, and the disk's image, of which the kernel also keeps pages.
    """
    for program in ("mkfs.ext4", "losetup", "mount"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for name in ("image", "device"):
        (scratch / name).mkdir()
    image = scratch / "image" / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", str(tree), str(image)], check=True)
    with mounted(scratch / "image", scratch / "device") as disk:
        shown = scratch / "device" / "disk.img"
        command = ["mount", "-t", "ext4", "-o", "ro,loop", str(shown), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no loop device here: {done.stderr.strip()}")
        try:
            yield disk, shown
        finally:
            disk.go_on()
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
