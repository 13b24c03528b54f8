"""Using a transport's socket directly: writes without a buffer, files without a copy.

How it works. A Twisted transport keeps what is written to it in a buffer, and
sends from there when the reactor says that the socket is writable. Asking the reactor
costs two ``epoll_ctl`` calls and a turn for each answer, as much as everything else
together, and a file has to be read into Python first. Where the transport is plain
TCP, its descriptor is the socket, so ``write`` and ``sendfile`` on that descriptor do
the same work without either.

Why it is safe. It is safe only while the transport's own buffer is empty; otherwise
what is sent here would overtake what waits there. These functions can't know that, so
only `otaserver.wire.outgoing` sends with them, and keeps track. Whatever the
descriptor doesn't take, or refuses with an error, goes through the transport, which
meets the same error and ends the connection in its own way. Only public interfaces are
used: the descriptor of a transport, and what the kernel says about it.
"""

import errno
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Sequence
from typing import Any, NamedTuple

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.tcp import Connection

# The errors of sendfile for a kind of file or socket that it can't handle.
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


# How much is read at a time where little is to wait.
_READ_BYTES = 1 << 13

# The largest segment, the bytes acknowledged, and the other side's window, in Linux's
# struct tcp_info (include/uapi/linux/tcp.h).
_TCP_INFO = struct.Struct("=16x I 100x Q 100x I")
_TCP_INFO_BYTES = _TCP_INFO.size


class NoSendfile(Exception):
    """The kernel can't send this file to this socket by itself."""


def is_plain_tcp(transport: Any) -> bool:
    """Tell whether what is written to a transport reaches its socket unchanged.

    Args:
        transport: any transport.

    Returns:
        True for TCP without TLS or any other layer above it.
    """
    return isinstance(transport, Connection) and not ISSLTransport.providedBy(transport)


def write_directly(transport: Any, data: bytes) -> bool:
    """Write what the socket takes now, and leave the rest to the transport.

    Args:
        transport: plain TCP, with nothing in its buffer.
        data: what to write.

    Returns:
        Whether all of it has left, so that the buffer is still empty.
    """
    try:
        sent_bytes = os.write(transport.fileno(), data)
    except OSError:
        sent_bytes = 0
    if sent_bytes < len(data):
        transport.write(data[sent_bytes:])
    return sent_bytes == len(data)


def write_parts(transport: Any, parts: Sequence[bytes | memoryview]) -> int:
    """Write what the socket takes now of several parts, without joining them (writev(2)).

    Args:
        transport: plain TCP, with nothing in its buffer.
        parts: what to write, one after another.

    Returns:
        How much was written, in bytes.

    Raises:
        OSError: the connection is lost.
    """
    try:
        return os.writev(transport.fileno(), parts)
    except BlockingIOError:
        return 0


def send_file(transport: Any, descriptor: int, offset: int, size_bytes: int) -> int:
    """Have the kernel send a part of a file (sendfile(2)).

    Args:
        transport: plain TCP, with nothing in its buffer.
        descriptor: an open file.
        offset: where to begin, in bytes.
        size_bytes: how much to send at most.

    Returns:
        How much was sent, in bytes; 0 at the end of the file.

    Raises:
        BlockingIOError: the socket takes nothing now.
        NoSendfile: the file has to be read and written instead.
        OSError: the connection is lost.
    """
    try:
        return os.sendfile(transport.fileno(), descriptor, offset, size_bytes)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in _NO_SENDFILE:
            raise NoSendfile from error
        raise


class Delivery(NamedTuple):
    """How far what was sent has come, as far as the kernel knows.

    Attributes:
        arrived_bytes: how much the other side has acknowledged since the connection began.
        room_bytes: for how much more the other side has room; 0 if that is not known.
        segment_bytes: the largest segment of the connection; 0 if that is not known.
        queued_bytes: how much is still in this side's kernel, or on its way.
    """

    arrived_bytes: int
    room_bytes: int
    segment_bytes: int
    queued_bytes: int


def delivery(transport: Any, sent_bytes: int) -> Delivery:
    """Ask the kernel how much of what was sent has arrived.

    It accepts megabytes at once, and reports room for more only when a good part of them
    has left, so what it accepted says little about a slow reader.

    Args:
        transport: the transport it was sent over.
        sent_bytes: how much was sent, for a transport that can't tell.

    Returns:
        What the kernel knows.
    """
    transport = _innermost(transport)
    if not isinstance(transport, Connection) or transport.disconnected:
        return Delivery(sent_bytes, 0, 0, 0)
    queued_bytes = _queued_bytes(transport.fileno())
    try:
        told = transport.getHandle().getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES
        )
        segment_bytes, arrived_bytes, room_bytes = _TCP_INFO.unpack(told)
    except (AttributeError, OSError, struct.error):
        # A Unix socket, or a kernel that is no Linux, or older than 5.4.
        return Delivery(max(0, sent_bytes - queued_bytes), 0, 0, queued_bytes)
    return Delivery(arrived_bytes, room_bytes, segment_bytes, queued_bytes)


def read_little(transport: Any) -> None:
    """Have a transport read less at a time, so that little can wait to be taken.

    Args:
        transport: the transport.
    """
    # Twisted's own attribute; it has no effect on a transport of another kind.
    _innermost(transport).bufferSize = _READ_BYTES


def _innermost(transport: Any) -> Any:
    """Find the connection below TLS, or below whatever else is on top of it."""
    while not isinstance(transport, Connection) and hasattr(transport, "transport"):
        transport = transport.transport
    return transport


def _queued_bytes(descriptor: int) -> int:
    try:
        # Linux: SIOCOUTQ, which has the same number as TIOCOUTQ (tcp(7)).
        queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    return int(struct.unpack("i", queued)[0])


def delivered_bytes(transport: Any, sent_bytes: int) -> int:
    """Compute how much of a transfer has arrived.

    Args:
        transport: the transport it was sent over.
        sent_bytes: how much of it was sent.

    Returns:
        How much the other side has acknowledged, in bytes.
    """
    return max(0, sent_bytes - delivery(transport, 0).queued_bytes)
