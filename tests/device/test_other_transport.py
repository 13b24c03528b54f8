"""A transport from outside the library: requests and answers over a pair of UARTs."""

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.library import OTA, QuickBoard, Reset, ota_recovery
from tests.support.update_tree import FIRMWARE, NEW, OLD, contents, manifest

BAUD_LINE = b"GET %d %s\n"


class UARTOTA(OTA):
    """Asks a peer over a serial line: ``GET OFFSET PATH``, answered by a length and bytes.

    All that a transport has to have is here: ``connect``, ``open`` and a stream.
    """

    def __init__(self, uart: "UART", **options: Any) -> None:
        super().__init__(**options)
        self.uart = uart

    def connect(self) -> None:
        self.uart.write(b"HELLO\n")
        assert self.uart.readline() == b"HELLO\n"

    def open(self, path: str, offset: int) -> "UARTStream":
        self.uart.write(BAUD_LINE % (offset, path.encode()))
        return UARTStream(self.uart, int(self.uart.readline()))


class UARTStream:
    def __init__(self, uart: "UART", size: int) -> None:
        self.uart = uart
        self.left = size

    def readinto(self, buf: bytearray | memoryview) -> int:
        count = self.uart.readinto(memoryview(buf)[: self.left]) if self.left else 0
        self.left -= count
        return count

    def close(self) -> None:
        # The line goes on: what is left of this answer must not be taken for the next.
        while self.left:
            self.left -= len(self.uart.read(min(self.left, 256)))


class UART:
    """One end of a serial line."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.reader = os.fdopen(read_fd, "rb", buffering=0)
        self.writer = os.fdopen(write_fd, "wb", buffering=0)
        self.readinto = self.reader.readinto
        self.readline = self.reader.readline
        self.read = self.reader.read
        self.write = self.writer.write

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


def serve(uart: UART, served: Mapping[str, bytes]) -> None:
    for line in iter(uart.readline, b""):
        if line == b"HELLO\n":
            uart.write(line)
            continue
        _, offset, path = line.split()
        content = served[path.decode().partition("?")[0]][int(offset) :]
        uart.write(b"%d\n" % len(content) + content)


@pytest.fixture
def uart() -> Iterator[UART]:
    device_reads, peer_writes = os.pipe()
    peer_reads, device_writes = os.pipe()
    device, peer = UART(device_reads, device_writes), UART(peer_reads, peer_writes)
    served = contents(manifest(OLD, NEW, FIRMWARE), NEW, FIRMWARE)
    thread = threading.Thread(target=serve, args=(peer, served))
    thread.start()
    yield device
    device.close()
    thread.join()
    peer.close()


def test_update_over_a_serial_line(tmp_path: Path, uart: UART) -> None:
    for path, content in {**OLD, "flash/OTA_VERSION.py": b"VERSION = '1.0.0'\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    with pytest.raises(Reset):
        UARTOTA(uart, board=QuickBoard(tmp_path)).update()
    board = QuickBoard(tmp_path)
    assert ota_recovery.recover(board) == "trial"
    ota = UARTOTA(uart, board=board)
    assert ota.confirm()
    assert ota.versions() == ("1.0.1", "1.0.1")
    assert (tmp_path / "slot1").read_bytes() == FIRMWARE
    for path, content in NEW.items():
        assert (tmp_path / path).read_bytes() == content


def test_a_transport_must_have_both_methods(tmp_path: Path) -> None:
    ota = OTA(board=QuickBoard(tmp_path))
    with pytest.raises(NotImplementedError):
        ota.connect()
    with pytest.raises(NotImplementedError):
        ota.open("/manifest.json", 0)
