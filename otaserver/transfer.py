"""Sending a file, or bytes, over a transport: without a copy, and without waiting for a disk."""

import errno
import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from otaserver.catalogue import Stamp
from otaserver.errors import OTAServerError
from otaserver.files import FileChanged, stamp_of
from otaserver.page_cache import is_cached
from otaserver.plain_tcp import SEND_BUDGET_BYTES, delivered_bytes, is_plain_tcp
from otaserver.worker import Worker

READ_SIZE_BYTES = 1 << 18

_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class TransferAborted(OTAServerError):
    """The connection ended before what was sent did."""


@implementer(IPullProducer)
class Transfer:
    """Something on its way over a transport.

    The transport asks for more when all before it has left, so that a reader who
    stalls holds no memory.
    """

    def __init__(self) -> None:
        self._sent_bytes = 0
        self._transport: Any = None
        self._done: Deferred[None] | None = None

    def start(self, transport: Any) -> "Deferred[None]":
        """Begin to send.

        Args:
            transport: where to; it must have no producer.

        Returns:
            Fires when everything has been handed over; fails with
            `TransferAborted` where the connection ends, and with `FileChanged`
            where a file does, or is another by then.
        """
        done = self._done = Deferred()
        self._transport = transport
        transport.registerProducer(self, False)
        return done

    def resumeProducing(self) -> None:
        """Send more: what came before has left the transport."""
        raise NotImplementedError

    def stopProducing(self) -> None:
        """End it, because the connection has ended."""
        self._finish(TransferAborted("The connection was lost during a transfer."))

    def discard(self) -> None:
        """Give up what was never started."""

    @property
    def delivered_bytes(self) -> int:
        """How much of it the other side has."""
        return delivered_bytes(self._transport, self._sent_bytes)

    def _finish(self, error: OTAServerError | None = None) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        self._release()
        if error is None:
            self._transport.unregisterProducer()
            done.callback(None)
        else:
            done.errback(error)

    def _release(self) -> None:
        """Give back what it holds."""


class BytesTransfer(Transfer):
    """Sends bytes that are in memory already, a piece at a time.

    Args:
        data: what to send.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        super().__init__()
        self._data = memoryview(data)

    def resumeProducing(self) -> None:
        """Send the next piece."""
        if self._done is None:
            return
        piece = bytes(self._data[self._sent_bytes : self._sent_bytes + READ_SIZE_BYTES])
        if piece:
            self._sent_bytes += len(piece)
            self._transport.write(piece)
        else:
            self._finish()


class FileTransfer(Transfer):
    """Sends a part of a file, and closes it.

    Over plain TCP the kernel sends from its own cache (``sendfile``); over any
    other transport the file is read and written. What is not in the cache yet
    is read by the worker first. If the file changes meanwhile, the end is not
    sent, so that nobody takes a mixture for the whole.

    Args:
        descriptor: an open file; the transfer closes it.
        stamp: what the file looked like when it was opened.
        offset: where to begin, in bytes.
        length: how much to send, in bytes.
        worker: waits for the disk.
        is_first: whether nothing has been written before it, so that it can
            begin without a turn of the reactor.
    """

    def __init__(
        self,
        descriptor: int,
        stamp: Stamp,
        offset: int,
        length: int,
        worker: Worker,
        is_first: bool = False,
    ) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._stamp = stamp
        self._offset = offset
        self._length = length
        self._worker = worker
        self._uses_sendfile = False
        self._is_started = is_first
        self._is_reading = False
        self._is_read = False

    def start(self, transport: Any) -> "Deferred[None]":
        """Begin to send; see `Transfer.start`."""
        self._uses_sendfile = is_plain_tcp(transport)
        return super().start(transport)

    def resumeProducing(self) -> None:
        """Send the next window."""
        if not self._is_started:
            # Registering calls this at once, while a header may be in the
            # transport's buffer: what sendfile sends would overtake it.
            self._is_started = True
            if self._uses_sendfile:
                self._transport.startWriting()
                return
        if self._is_reading or self._done is None:
            return
        try:
            if self._left_bytes and self._left_bytes <= SEND_BUDGET_BYTES:
                self._check_stamp()
            if self._is_read or self._is_cached():
                self._is_read = False
                self._send()
            else:
                self._read_ahead()
        except FileChanged as error:
            self._fail(error)
        except OSError as error:
            self._fail(FileChanged(f"A file can't be read any more: {error.strerror}."))

    def discard(self) -> None:
        """Close the file of a transfer that was never started."""
        os.close(self._descriptor)

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

    def _check_stamp(self) -> None:
        if stamp_of(os.fstat(self._descriptor)) != self._stamp:
            raise FileChanged("A file changed while it was sent.")

    def _is_cached(self) -> bool:
        return is_cached(self._descriptor, self._position, self._window_bytes)

    def _read_ahead(self) -> None:
        self._is_reading = True

        def read(_: object) -> None:
            self._is_reading = False
            self._is_read = True
            if self._done is None:
                os.close(self._descriptor)
            elif self._uses_sendfile:
                self._transport.startWriting()
            else:
                self.resumeProducing()

        # What the disk says is said again, and dealt with, when it is sent.
        reading = self._worker.run(os.pread, self._descriptor, self._window_bytes, self._position)
        reading.addBoth(read)

    def _send(self) -> None:
        if not self._left_bytes:
            self._finish()
        elif self._uses_sendfile:
            self._sendfile()
        else:
            self._write()

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
                raise FileChanged("A file became shorter while it was sent.")
            self._sent_bytes += count
            budget_bytes -= count
        if self._left_bytes:
            self._transport.startWriting()
        else:
            self._finish()

    def _write(self) -> None:
        data = os.pread(self._descriptor, min(self._left_bytes, READ_SIZE_BYTES), self._position)
        if not data:
            raise FileChanged("A file became shorter while it was sent.")
        self._sent_bytes += len(data)
        self._transport.write(data)

    def _fail(self, error: OTAServerError) -> None:
        """Give up: the reader must see an end before the length that it was told."""
        self._finish(error)
        self._transport.abortConnection()

    def _release(self) -> None:
        if not self._is_reading:
            os.close(self._descriptor)
