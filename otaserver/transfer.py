"""Sending a part of a file over a transport, without copying it and without waiting for a disk."""

import errno
import fcntl
import os
import struct
import termios
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, ISSLTransport
from twisted.internet.tcp import Connection
from zope.interface import implementer

from otaserver.errors import OTAServerError
from otaserver.files import FileChanged
from otaserver.worker import Worker

# How much one transfer may send before others have their turn.
SEND_BUDGET_BYTES = 1 << 21
READ_SIZE_BYTES = 1 << 18

_LOST = "The connection was lost during a transfer."
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class TransferAborted(OTAServerError):
    """The connection ended before the file did."""


def is_plain_tcp(transport: Any) -> bool:
    """Tell whether what is written to a transport reaches its socket as it is."""
    return isinstance(transport, Connection) and not ISSLTransport.providedBy(transport)


def read_if_cached(descriptor: int, offset: int, length: int) -> bytes | None:
    """Read from a file what can be had without waiting for the disk.

    Args:
        descriptor: an open file.
        offset: where to begin, in bytes.
        length: how much to read, in bytes.

    Returns:
        What was read, which may be less than asked for; None where the disk has
        to be waited for. Where the system can't tell, it is read in any case.
    """
    buffer = bytearray(length)
    try:
        count = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return None
    except (OSError, AttributeError):
        return os.pread(descriptor, length, offset)
    return bytes(buffer[:count]) if count < length else bytes(buffer)


class Transfer(Protocol):
    """Something on its way over a transport."""

    def start(self, transport: Any) -> "Deferred[None]":
        """Begin to send; the transport must have no producer."""

    def stopProducing(self) -> None:
        """End it, because the connection has ended."""

    def discard(self) -> None:
        """Give up what was never started."""

    @property
    def delivered_bytes(self) -> int:
        """How much of it the other side has."""


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


def is_cached(descriptor: int, offset: int, length: int) -> bool:
    """Tell whether a part of a file can be had without the disk, judging by its ends.

    Args:
        descriptor: an open file.
        offset, length: which part, in bytes.
    """
    last = offset + length - 1
    return length == 0 or all(
        read_if_cached(descriptor, position, 1) is not None for position in {offset, last}
    )


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
    if not is_cached(descriptor, offset, length):
        return 0
    try:
        return os.sendfile(transport.fileno(), descriptor, offset, length)
    except OSError:
        return 0


def write_at_once(transport: Any, data: bytes) -> int:
    """Write as much as the kernel takes now.

    To ask the reactor for a turn to write, and to be taken off its list again,
    costs as much as writing.

    Args:
        transport: plain TCP, with nothing left in its buffer.
        data: what to write.

    Returns:
        How much was written, in bytes; the transport deals with the rest, and
        with what went wrong.
    """
    try:
        return os.write(transport.fileno(), data)
    except OSError:
        return 0


@implementer(IPullProducer)
class BytesTransfer:
    """Sends bytes that are in memory already, a piece at a time.

    Args:
        data: what to send.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._sent_bytes = 0
        self._transport: Any = None
        self._done: Deferred[None] | None = None

    def start(self, transport: Any) -> "Deferred[None]":
        """Begin to send; see `FileTransfer.start`."""
        done = self._done = Deferred()
        self._transport = transport
        transport.registerProducer(self, False)
        return done

    def resumeProducing(self) -> None:
        """Send more: what came before has left the transport."""
        if self._done is None:
            return
        piece = bytes(self._data[self._sent_bytes : self._sent_bytes + READ_SIZE_BYTES])
        if piece:
            self._sent_bytes += len(piece)
            self._transport.write(piece)
            return
        done, self._done = self._done, None
        self._transport.unregisterProducer()
        done.callback(None)

    def stopProducing(self) -> None:
        """End the transfer, because the connection has ended."""
        done, self._done = self._done, None
        if done is not None:
            done.errback(TransferAborted(_LOST))

    def discard(self) -> None:
        """Give up what was never started: nothing is held but memory."""

    @property
    def delivered_bytes(self) -> int:
        """How much the other side has."""
        return delivered_bytes(self._transport, self._sent_bytes)


@implementer(IPullProducer)
class FileTransfer:
    """Sends a part of a file, and closes it.

    Over plain TCP the kernel sends from its own cache (``sendfile``); over any
    other transport the file is read and written. What is not in the cache yet
    is read by the worker first. The transport asks for more when all before it
    has left, so that a reader who stalls holds no memory.

    Args:
        descriptor: an open file; the transfer closes it.
        offset: where to begin, in bytes.
        length: how much to send, in bytes.
        worker: waits for the disk.
        is_first: whether nothing has been written before it, so that it can
            begin without a turn of the reactor.
    """

    def __init__(
        self, descriptor: int, offset: int, length: int, worker: Worker, is_first: bool = False
    ) -> None:
        self._sent_bytes = 0
        self._descriptor = descriptor
        self._offset = offset
        self._length = length
        self._worker = worker
        self._transport: Any = None
        self._uses_sendfile = False
        self._is_started = is_first
        self._is_reading = False
        self._done: Deferred[None] | None = None

    def start(self, transport: Any) -> "Deferred[None]":
        """Begin to send.

        Args:
            transport: where to; it must have no producer.

        Returns:
            Fires when everything has been handed over; fails with
            `TransferAborted` where the connection ends, and with `FileChanged`
            where the file does.
        """
        done = self._done = Deferred()
        self._transport = transport
        self._uses_sendfile = is_plain_tcp(transport)
        transport.registerProducer(self, False)
        return done

    def resumeProducing(self) -> None:
        """Send more: all that came before has left the transport."""
        if not self._is_started:
            # Registering calls this at once, while a header may be in the
            # transport's buffer: what sendfile sends would overtake it.
            self._is_started = True
            if self._uses_sendfile:
                self._transport.startWriting()
                return
        if self._is_reading or self._done is None:
            return
        if not is_cached(self._descriptor, self._position, self._window_bytes):
            self._read_ahead()
        elif self._uses_sendfile:
            self._sendfile()
        else:
            self._write()

    def stopProducing(self) -> None:
        """End the transfer, because the connection has ended."""
        self._finish(TransferAborted(_LOST))

    def discard(self) -> None:
        """Close the file of a transfer that was never started."""
        os.close(self._descriptor)

    @property
    def delivered_bytes(self) -> int:
        """How much the other side has."""
        return delivered_bytes(self._transport, self._sent_bytes)

    @property
    def _position(self) -> int:
        return self._offset + self._sent_bytes

    @property
    def _left_bytes(self) -> int:
        return self._length - self._sent_bytes

    @property
    def _window_bytes(self) -> int:
        """How much the next turn sends at most."""
        return min(self._left_bytes, SEND_BUDGET_BYTES)

    def _read_ahead(self) -> None:
        self._is_reading = True

        def read(_: object) -> None:
            self._is_reading = False
            if self._done is None:
                os.close(self._descriptor)
            elif self._uses_sendfile:
                self._transport.startWriting()
            else:
                self.resumeProducing()

        # What the disk says is said again, and dealt with, when it is sent.
        reading = self._worker.run(os.pread, self._descriptor, self._window_bytes, self._position)
        reading.addBoth(read)

    def _sendfile(self) -> None:
        budget_bytes = SEND_BUDGET_BYTES
        while self._left_bytes and budget_bytes > 0:
            try:
                count = os.sendfile(
                    self._transport.fileno(),
                    self._descriptor,
                    self._position,
                    min(self._left_bytes, budget_bytes),
                )
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in _NO_SENDFILE:
                    self._fail(TransferAborted(f"The connection was lost: {error.strerror}."))
                    return
                self._uses_sendfile = False
                self._write()
                return
            if not count:
                self._fail(FileChanged("A file became shorter while it was sent."))
                return
            self._sent_bytes += count
            budget_bytes -= count
        if self._left_bytes:
            self._transport.startWriting()
        else:
            self._finish(None)

    def _write(self) -> None:
        if not self._left_bytes:
            self._finish(None)
            return
        try:
            data = os.pread(
                self._descriptor, min(self._left_bytes, READ_SIZE_BYTES), self._position
            )
        except OSError as error:
            self._fail(FileChanged(f"A file can't be read any more: {error.strerror}."))
            return
        if not data:
            self._fail(FileChanged("A file became shorter while it was sent."))
            return
        self._sent_bytes += len(data)
        self._transport.write(data)

    def _fail(self, error: OTAServerError) -> None:
        """Give up: the reader must see an end before the length that it was told."""
        self._finish(error)
        self._transport.abortConnection()

    def _finish(self, error: OTAServerError | None) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        if not self._is_reading:
            os.close(self._descriptor)
        if error is None:
            self._transport.unregisterProducer()
            done.callback(None)
        else:
            done.errback(error)
