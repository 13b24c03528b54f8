"""Writing to a socket past Twisted's buffer, where nothing is in that buffer.

It takes public means only: a transport's descriptor, and what the kernel says.
"""

import fcntl
import os
import struct
import termios
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.tcp import Connection

from otaserver.page_cache import is_cached

# How much one transfer may send before others have their turn.
SEND_BUDGET_BYTES = 1 << 21


def is_plain_tcp(transport: Any) -> bool:
    """Tell whether what is written to a transport reaches its socket as it is."""
    return isinstance(transport, Connection) and not ISSLTransport.providedBy(transport)


def write_at_once(transport: Any, data: bytes) -> bool:
    """Write without the reactor's help what the kernel takes, and the rest with it.

    To ask the reactor for a turn to write, and to be taken off its list again,
    costs as much as writing.

    Args:
        transport: plain TCP, with nothing left in its buffer.
        data: what to write.

    Returns:
        Whether all has left, so that the buffer is still empty.
    """
    try:
        sent_bytes = os.write(transport.fileno(), data)
    except OSError:
        # The transport will meet the same error, and deal with it.
        sent_bytes = 0
    if sent_bytes < len(data):
        transport.write(data[sent_bytes:])
    return sent_bytes == len(data)


def send_at_once(transport: Any, descriptor: int, offset: int, length: int) -> int:
    """Send as much of a file as the kernel takes now, before any transfer is set up.

    Args:
        transport: plain TCP, with nothing left in its buffer.
        descriptor: an open file.
        offset, length: which part of it, in bytes.

    Returns:
        How much was sent, in bytes. Where that is less, a `FileTransfer` sends
        the rest, or finds out why it can't be sent.
    """
    length = min(length, SEND_BUDGET_BYTES)
    try:
        if not is_cached(descriptor, offset, length):
            return 0
        return os.sendfile(transport.fileno(), descriptor, offset, length)
    except OSError:
        return 0


def delivered_bytes(transport: Any, sent_bytes: int) -> int:
    """Say how much of what was sent has arrived, as far as the system can tell.

    The kernel takes megabytes at once, and says that it can take more only when
    a good part of them has left, so what it took says little about a slow reader.

    Args:
        transport: what it was sent over.
        sent_bytes: how much that was.
    """
    if not isinstance(transport, Connection) or transport.disconnected:
        return sent_bytes
    try:
        # Linux: SIOCOUTQ, of the same number as TIOCOUTQ (tcp(7)).
        queued = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return sent_bytes
    return sent_bytes - int(struct.unpack("i", queued)[0])
