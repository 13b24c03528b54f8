"""Sending a part of a file without copying it, and without waiting for the disk.

How it works. Each turn sends one window of the file. What is in the page cache the kernel
sends over plain TCP (``sendfile``); over any other transport it is read and written. What
is not in the page cache would block while the disk is read, so a thread reads a piece of
it, which is then written; the kernel reads ahead meanwhile, and the next window may be in
the page cache. A head, if there is one, goes out in one write with the first bytes of the
file: a tiny file and its head then share a packet, and the original client finds the end
of the head only if some of the body follows in the same read.

Why it is safe. `OpenFile` says what is in the page cache, and nothing else is read here.
The file was compared with the catalogue when it was opened. If it is
rewritten during the transfer, the reader gets a mixture of two contents that no hash
in this server matches. So the stamp is compared again with the last window: if it
differs, the end is never sent, the connection is cut, and the reader, which was told
the length, knows that the file is incomplete.
"""

from twisted.python.failure import Failure

from otaserver.catalogue.stamps import FileChanged
from otaserver.disk.disk import DiskBusy
from otaserver.disk.open_file import OpenFile
from otaserver.errors import OTAServerError, ServerFailed
from otaserver.wire.transfer import (
    FIRST_WRITE_BYTES,
    PIECE_BYTES,
    TURN_BYTES,
    Transfer,
    TransferAborted,
)
from otaserver.wire.zero_copy import NoSendfile

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


def read_small(opened: OpenFile, offset: int, size_bytes: int) -> bytes | None:
    """Read a part of a file without a transfer, if it is small and cached.

    Args:
        opened: the file.
        offset: where the part begins, in bytes.
        size_bytes: its length.

    Returns:
        The part; None if it has to be sent by a `FileTransfer`, which also reports
        why a file can't be read.
    """
    if size_bytes > FIRST_WRITE_BYTES:
        return None
    try:
        content = opened.read_at_hand(offset, size_bytes)
        if content is None or len(content) < size_bytes or not opened.is_unchanged():
            return None
    except OSError:
        return None
    return content


class FileTransfer(Transfer):
    """Sends a part of a file, and releases it.

    Args:
        opened: the file; the transfer releases it.
        offset: where to begin, in bytes.
        size_bytes: how much to send.
        head: see `Transfer`.
    """

    def __init__(self, opened: OpenFile, offset: int, size_bytes: int, head: bytes = b"") -> None:
        super().__init__(head)
        self._opened = opened
        self._offset = offset
        self._size_bytes = size_bytes
        self._is_reading = False
        # What a thread has read, to be sent in the next turn.
        self._read: bytes | OTAServerError | None = None

    def resume(self) -> None:
        """Send the head, or the next window."""
        if self._is_reading or self._done is None:
            return
        try:
            if self._read is not None:
                self._send_read()
            elif not self._head or self._send_head(self._head):
                self._send_window()
        except (FileChanged, DiskBusy) as error:
            self._fail(error)
        except OSError as error:
            self._fail(FileUnreadable(error))

    @property
    def _position(self) -> int:
        return self._offset + self.sent_bytes

    @property
    def _left_bytes(self) -> int:
        return self._size_bytes - self.sent_bytes

    @property
    def _first_bytes(self) -> int:
        """How much of the file goes out in one write with the head."""
        is_small = self._size_bytes <= FIRST_WRITE_BYTES
        return self._size_bytes if is_small else LARGE_FIRST_WRITE_BYTES

    def _send_head(self, head: bytes) -> bool:
        """Send the head with the first bytes; return whether a window may follow at once."""
        assert self._outlet is not None
        first = self._opened.read_at_hand(self._offset, self._first_bytes)
        # If no window follows, nothing later checks it, and an error can still be answered.
        is_last = self._first_bytes == self._size_bytes
        if first is None or (is_last and not self._opened.is_unchanged()):
            self._read_in_thread(self._first_bytes)
            return False
        self._head = b""
        self.sent_bytes = len(first)
        self._outlet.write(head + first)
        return self._outlet.is_drained

    def _send_window(self) -> None:
        """Send what is cached, or have a thread read it."""
        if not self._left_bytes:
            self._finish()
            return
        window_bytes = min(self._left_bytes, TURN_BYTES)
        is_last = self._left_bytes <= TURN_BYTES
        if not self._opened.is_at_hand(self._position, window_bytes) or (
            is_last and not self._opened.is_unchanged()
        ):
            # If the file has changed, the thread finds out whether only its metadata has.
            self._read_in_thread(min(window_bytes, PIECE_BYTES))
            return
        assert self._outlet is not None
        if self._outlet.can_sendfile:
            self._sendfile(window_bytes)
        else:
            self._write()

    def _read_in_thread(self, size_bytes: int) -> None:
        assert self._outlet is not None
        reading = self._opened.read(self._position, size_bytes)
        self._is_reading = True
        self._outlet.wait()
        reading.addCallbacks(self._take, self._note).addBoth(self._go_on)

    def _take(self, result: tuple[bytes, bool]) -> None:
        """Keep what was read, if it may be sent."""
        data, is_same = result
        is_cut = not data and self._left_bytes > 0
        self._read = data if is_same and not is_cut else FileChangedWhileSent()

    def _note(self, failure: Failure) -> None:
        """Keep why nothing was read."""
        error = failure.value
        self._read = FileUnreadable(error) if isinstance(error, OSError) else ServerFailed()
        if isinstance(error, DiskBusy):
            self._read = error

    def _go_on(self, _: None) -> None:
        self._is_reading = False
        if self._done is not None and self._outlet is not None:
            self._outlet.resume_when_writable()

    def _send_read(self) -> None:
        """Send what a thread has read, with the head if that was not sent yet."""
        read, self._read = self._read, None
        assert self._outlet is not None
        if not isinstance(read, bytes):
            self._fail(read or ServerFailed())
            return
        head, self._head = self._head, b""
        self.sent_bytes += len(read)
        self._outlet.write_buffered(head + read)

    def _sendfile(self, window_bytes: int) -> None:
        assert self._outlet is not None
        try:
            self.sent_bytes += self._outlet.send_file(
                self._opened.descriptor, self._position, window_bytes
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
        data = self._opened.read_at_hand(self._position, min(self._left_bytes, PIECE_BYTES))
        if data is None:
            self._read_in_thread(min(self._left_bytes, PIECE_BYTES))
            return
        if not data:
            raise FileChangedWhileSent
        self.sent_bytes += len(data)
        self._outlet.write_buffered(data)

    def _fail(self, error: OTAServerError) -> None:
        """Give up, and cut the connection unless nothing has been sent yet."""
        # A reader that knows the length must see the connection end before it.
        self._finish(error, must_abort=self.has_begun)

    def _release(self) -> None:
        # A thread that reads it holds it as well.
        self._opened.release()
