"""Sending a part of a file without copying it, and without waiting for the disk.

How it works. Each turn sends one window of the file. Over plain TCP the kernel sends
it from its page cache (``sendfile``); over any other transport it is read and written.
Both would block while the disk is read, so a window that is not in the page cache is
read by a worker thread first, which brings it in; the descriptor stays open until that
thread is done with it. A head, if there is one, goes out in one write with the first
bytes of the file: a tiny file and its head then share a packet, and the original
client finds the end of the head only if some of the body follows in the same read.

Why it is safe. The file was compared with the catalogue when it was opened. If it is
rewritten during the transfer, the reader gets a mixture of two contents that no hash
in this server matches. So the stamp is compared again before the last window: if it
differs, the end is never sent, the connection is cut, and the reader, which was told
the length, knows that the file is incomplete.
"""

import os

from otaserver.catalogue.stamps import FileChanged, Stamp
from otaserver.errors import OTAServerError
from otaserver.wire.nowait_read import is_cached, read_if_cached
from otaserver.wire.transfer import (
    FIRST_WRITE_BYTES,
    PIECE_BYTES,
    TURN_BYTES,
    Transfer,
    TransferAborted,
)
from otaserver.wire.zero_copy import NoSendfile
from otaserver.worker import Worker

# How much of a file larger than FIRST_WRITE_BYTES goes out in one write with its head.
LARGE_FIRST_WRITE_BYTES = 1 << 12


class FileChangedWhileSent(FileChanged):
    """A file was changed or cut short during its transfer.

    Args:
        sentence: what to tell the client.
    """

    def __init__(self, sentence: str = "The file changed while it was being sent.") -> None:
        super().__init__(sentence)


class FileUnreadable(FileChanged):
    """The disk failed while a file was being sent.

    Args:
        error: the system's error.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"The file can't be read: {error.strerror}.")


def read_small(descriptor: int, stamp: Stamp, offset: int, size_bytes: int) -> bytes | None:
    """Read a part of a file without a transfer, if it is small and cached.

    Args:
        descriptor: an open file.
        stamp: the file's stamp when it was opened.
        offset: where the part begins, in bytes.
        size_bytes: its length.

    Returns:
        The part; None if it has to be sent by a `FileTransfer`, which also reports
        why a file can't be read.
    """
    if size_bytes > FIRST_WRITE_BYTES:
        return None
    try:
        content = read_if_cached(descriptor, offset, size_bytes)
        is_same = stamp.fits(os.fstat(descriptor))
    except OSError:
        return None
    return content if is_same and content is not None and len(content) == size_bytes else None


class FileTransfer(Transfer):
    """Sends a part of a file, and closes it.

    Args:
        descriptor: an open file; the transfer closes it.
        stamp: the file's stamp when it was opened.
        offset: where to begin, in bytes.
        size_bytes: how much to send.
        worker: waits for the disk.
        head: see `Transfer`.
    """

    def __init__(
        self,
        descriptor: int,
        stamp: Stamp,
        offset: int,
        size_bytes: int,
        worker: Worker,
        head: bytes = b"",
    ) -> None:
        super().__init__(head)
        self._descriptor = descriptor
        self._stamp = stamp
        self._offset = offset
        self._size_bytes = size_bytes
        self._worker = worker
        self._is_reading = False
        self._is_read = False

    def resume(self) -> None:
        """Send the head, or the next window."""
        if self._is_reading or self._done is None:
            return
        try:
            if not self._head or self._send_head(self._head):
                self._send_window()
        except FileChanged as error:
            self._fail(error)
        except OSError as error:
            self._fail(FileUnreadable(error))

    @property
    def _position(self) -> int:
        return self._offset + self.sent_bytes

    @property
    def _left_bytes(self) -> int:
        return self._size_bytes - self.sent_bytes

    def _send_head(self, head: bytes) -> bool:
        """Send the head with the first bytes; return whether a window may follow at once."""
        assert self._outlet is not None
        is_small = self._size_bytes <= FIRST_WRITE_BYTES
        first_bytes = self._size_bytes if is_small else LARGE_FIRST_WRITE_BYTES
        if self._is_read:
            self._is_read = False
            first: bytes | None = os.pread(self._descriptor, first_bytes, self._offset)
        else:
            first = read_if_cached(self._descriptor, self._offset, first_bytes)
        if first is None:
            self._read_ahead(first_bytes)
            return False
        if is_small:
            # No window that would check it follows, and an error can still be answered.
            self._check_stamp()
        self._head = b""
        self.sent_bytes = len(first)
        self._outlet.write(head + first)
        return self._outlet.is_drained

    def _send_window(self) -> None:
        """Send what is cached, or have the worker read it."""
        if not self._left_bytes:
            self._finish()
            return
        window_bytes = min(self._left_bytes, TURN_BYTES)
        if self._left_bytes <= TURN_BYTES:
            self._check_stamp()
        if not self._is_read and not is_cached(self._descriptor, self._position, window_bytes):
            self._read_ahead(window_bytes)
            return
        self._is_read = False
        assert self._outlet is not None
        if self._outlet.can_sendfile:
            self._sendfile(window_bytes)
        else:
            self._write()

    def _check_stamp(self) -> None:
        if not self._stamp.fits(os.fstat(self._descriptor)):
            raise FileChangedWhileSent

    def _read_ahead(self, size_bytes: int) -> None:
        assert self._outlet is not None
        self._is_reading = True
        self._outlet.wait()

        def read(_: object) -> None:
            self._is_reading = False
            self._is_read = True
            if self._done is None:
                os.close(self._descriptor)
            elif self._outlet is not None:
                self._outlet.resume_when_writable()

        # If the disk fails, so does the same read when the window is sent, and it is
        # dealt with there.
        reading = self._worker.run(os.pread, self._descriptor, size_bytes, self._position)
        reading.addBoth(read)

    def _sendfile(self, window_bytes: int) -> None:
        assert self._outlet is not None
        try:
            self.sent_bytes += self._outlet.send_file(
                self._descriptor, self._position, window_bytes
            )
        except EOFError as error:
            raise FileChangedWhileSent from error
        except NoSendfile:
            self._write()
            return
        except OSError:
            self._fail(TransferAborted())
            return
        if self._left_bytes:
            # The socket won't take now what it has just not taken: trying again would
            # send the file in tiny pieces.
            self._outlet.resume_when_writable()
        else:
            self._finish()

    def _write(self) -> None:
        assert self._outlet is not None
        data = os.pread(self._descriptor, min(self._left_bytes, PIECE_BYTES), self._position)
        if not data:
            raise FileChangedWhileSent
        self.sent_bytes += len(data)
        self._outlet.write_buffered(data)

    def _fail(self, error: OTAServerError) -> None:
        """Give up, and cut the connection unless nothing has been sent yet."""
        # A reader that knows the length must see the connection end before it.
        self._finish(error, must_abort=self.has_begun)

    def _release(self) -> None:
        if not self._is_reading:
            os.close(self._descriptor)
