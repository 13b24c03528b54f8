"""Computing all hashes of a file in a single read."""

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from otaserver.catalogue.stamps import FileChanged, Stamp, open_stamped

READ_SIZE_BYTES = 1 << 20


class Hashes(NamedTuple):
    """The hashes of a file's content, in lower-case hexadecimal.

    Attributes:
        sha1: what the original wire format calls ``hash``.
        sha256: the one that everything else relies on.
    """

    sha1: str
    sha256: str


def hash_file(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
    """Hash a file, reading it once.

    Args:
        path: the file's absolute path.
        stamp: its stamp when the scan saw it.
        check: called before each read; it may raise to cancel the scan.

    Returns:
        The hashes of the whole content.

    Raises:
        FileChanged: the file, or its metadata, changed since the scan saw it.
        OSError: the file can't be read.
    """
    with open(open_stamped(path, stamp), "rb", buffering=0) as file:
        hashes = hash_open_file(file.fileno(), stamp.size_bytes, check)
        if not stamp.fits_exactly(os.fstat(file.fileno())):
            raise FileChanged
    return hashes


def hash_open_file(descriptor: int, size_bytes: int, check: Callable[[], None]) -> Hashes:
    """Hash an open file, reading it once.

    Args:
        descriptor: its descriptor.
        size_bytes: its size.
        check: called before each read; it may raise to cancel.

    Returns:
        The hashes of the whole content, if it is no longer than expected.

    Raises:
        OSError: the file can't be read.
    """
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    buffer = memoryview(bytearray(READ_SIZE_BYTES))
    offset = 0
    # Reads at most once past the expected size, to reach the end: a file that
    # grows as fast as it is read would otherwise never end.
    while offset <= size_bytes:
        check()
        count = os.preadv(descriptor, [buffer], offset)
        if not count:
            break
        offset += count
        sha1.update(buffer[:count])
        sha256.update(buffer[:count])
    return Hashes(sha1.hexdigest(), sha256.hexdigest())


def leave_unhashed(path: str, stamp: Stamp, check: Callable[[], None]) -> Hashes:
    """Only open a file, in place of `hash_file` where nothing depends on the hashes.

    Args:
        path: see `hash_file`.
        stamp: likewise.
        check: likewise.

    Returns:
        Empty hashes.

    Raises:
        FileChanged: the file has changed since the scan saw it.
        OSError: the file can't be opened.
    """
    check()
    os.close(open_stamped(path, stamp))
    return Hashes("", "")
