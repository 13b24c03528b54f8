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
import struct
import termios
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.tcp import Connection

# The errors of sendfile for a kind of file or socket that it can't handle.
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


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


def delivered_bytes(transport: Any, sent_bytes: int) -> int:
    """Compute how much of what was sent has arrived, as far as the kernel knows.

    The kernel accepts megabytes at once, and reports room for more only when a good
    part of them has left, so what it accepted says little about a slow reader.

    Args:
        transport: the transport it was sent over.
        sent_bytes: how much was sent.

    Returns:
        How much the other side has acknowledged, in bytes.
    """
    if not isinstance(transport, Connection) or transport.disconnected:
        return sent_bytes
    try:
        # Linux: SIOCOUTQ, which has the same number as TIOCOUTQ (tcp(7)).
        queued = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return sent_bytes
    return sent_bytes - int(struct.unpack("i", queued)[0])
