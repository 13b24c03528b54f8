"""The connection stalls or breaks at every single byte of an answer, in turn."""

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.device.conftest import raw_server
from tests.support.device import Device
from tests.support.library import Reset, files_below, ota_recovery, put, quick_ota
from tests.support.raw_servers import CLOSE, LAST, REPLY, RESET, STALL, honest
from tests.support.update_tree import FIRMWARE, contents, manifest

pytestmark = pytest.mark.real

OLD = {"flash/main.py": b"old\n"}
NEW = {"flash/main.py": b"the new one\n"}
SERVED = contents(manifest(OLD, NEW), NEW)
WITH_FIRMWARE = contents(manifest(OLD, NEW, FIRMWARE), NEW, FIRMWARE)
FILE, IMAGE = "/1.0.1/flash/main.py", "/firmware_1.0.1.bin"
PIECE_BYTES = 4096


class OnceAt:
    """Stops after so many bytes of what is said for a path, once each time it is armed."""

    def __init__(self, path: str, ending: str) -> None:
        self.path = path
        self.ending = ending
        self.keep = self.said_bytes = 0
        self.is_armed = False

    def arm(self, keep: int) -> None:
        self.keep = keep
        self.said_bytes = 0
        self.is_armed = True

    def __call__(self, path: str, data: bytes) -> tuple[bytes, str]:
        if path.partition("?")[0] != self.path or not self.is_armed:
            return honest(path, data)
        before, self.said_bytes = self.said_bytes, self.said_bytes + len(data)
        if self.said_bytes <= self.keep:
            return honest(path, data)
        self.is_armed = False
        return data[: self.keep - before], self.ending


def break_at(
    tmp_path: Path,
    transport: str,
    served: Mapping[str, bytes],
    fault: OnceAt,
    positions: Iterable[int],
) -> list[list[int]]:
    """Update once for each position; return the waits of each, up to the answer's end."""
    waits = []
    with raw_server(transport, served, fault=fault) as server:
        for keep in positions:
            fault.arm(keep)
            waits_ms = update(tmp_path, transport, server.port)
            server.release_stalled()
            if fault.is_armed:
                break
            waits.append(waits_ms)
    return waits


def update(folder: Path, transport: str, port: int) -> list[int]:
    """Update the device once more, as if it still had the old release; return its waits."""
    put(folder, OLD)
    for slot in folder.glob("slot?"):
        slot.unlink()
    ota = quick_ota(folder, transport, port, timeout_s=0.1)
    with pytest.raises(Reset):
        ota.update()
    restarted = quick_ota(folder, transport, port)
    assert ota_recovery.recover(restarted.board) == "trial"
    assert restarted.confirm()
    assert files_below(folder) == NEW
    return ota.board.waits_ms


@pytest.mark.parametrize("ending", [CLOSE, RESET, STALL])
def test_one_break_at_each_byte_of_a_file(tmp_path: Path, transport: str, ending: str) -> None:
    waits = break_at(tmp_path, transport, SERVED, OnceAt(FILE, ending), itertools.count())
    assert len(waits) >= len(NEW["flash/main.py"])
    assert all(waits)


@pytest.mark.parametrize("ending, step", [(CLOSE, 5), (RESET, 1), (STALL, 37)])
def test_one_break_at_each_byte_of_a_manifest(
    tmp_path: Path, transport: str, ending: str, step: int
) -> None:
    fault = OnceAt("/manifest.json", ending)
    waits = break_at(tmp_path, transport, SERVED, fault, itertools.count(0, step))
    assert len(waits) >= len(SERVED["/manifest.json"]) // step
    assert all(waits)


@pytest.mark.parametrize("ending, step", [(LAST, 2), (RESET, 1), (STALL, 11)])
def test_one_break_at_each_byte_of_what_an_ftp_server_replies(
    tmp_path: Path, ending: str, step: int
) -> None:
    waits = break_at(tmp_path, "ftp", SERVED, OnceAt(REPLY, ending), itertools.count(0, step))
    assert len(waits) > 160 // step
    # The last reply comes after the last byte of the last file: nobody waits for that.
    assert all(waits[: 150 // step])


@pytest.mark.parametrize("ending", [CLOSE, RESET])
def test_one_break_around_each_piece_of_a_firmware(
    tmp_path: Path, transport: str, ending: str
) -> None:
    head_bytes = 42 if transport == "http" else 0
    positions = [
        head_bytes + end + around
        for end in range(PIECE_BYTES, len(FIRMWARE), PIECE_BYTES)
        for around in (-2, -1, 0, 1, 2)
    ]
    waits = break_at(tmp_path, transport, WITH_FIRMWARE, OnceAt(IMAGE, ending), positions)
    assert len(waits) == len(positions)
    assert all(waits)
    assert [slot.read_bytes() for slot in tmp_path.glob("slot?")] == [FIRMWARE]


def test_the_head_of_an_answer_is_as_long_as_the_test_thinks() -> None:
    with raw_server("http", WITH_FIRMWARE) as server:
        assert len(server.answer(IMAGE, {})) == 42 + len(FIRMWARE)


SAMPLE = {
    "http": {"/manifest.json": (0, 1, 9, 16, 39, 40, 41, 300), FILE: (0, 12, 38, 39, 45)},
    "ftp": {"/manifest.json": (0, 1, 300), FILE: (0, 5, 11), REPLY: (0, 2, 3, 9, 40, 75, 120)},
}


@pytest.mark.parametrize(
    "transport, path, keep",
    [
        (transport, path, keep)
        for transport, paths in SAMPLE.items()
        for path, positions in paths.items()
        for keep in positions
    ],
)
def test_micropython_survives_a_sample_of_them(
    tmp_path: Path, transport: str, path: str, keep: int
) -> None:
    fault = OnceAt(path, RESET)
    fault.arm(keep)
    with raw_server(transport, SERVED, fault=fault) as server:
        device = Device(tmp_path, "micropython", transport, server.port)
        device.install(OLD, "1.0.0")
        boot = device.boot("update", timeout_s=2)
    assert boot.was_reset, boot.lines
    assert not fault.is_armed
    assert any(line.startswith("waits") for line in boot.all("log"))
    assert device.tree() == NEW


def test_waits_grow_and_differ(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    waits = set()
    for _ in range(20):
        # Nothing listens at port 9 of this machine.
        ota = quick_ota(tmp_path, "http", 9, attempts=8)
        with pytest.raises(Exception, match="no connection"):
            ota.update()
        assert len(ota.board.waits_ms) == 7
        for number, wait_ms in enumerate(ota.board.waits_ms):
            longest_ms = min(2000 * 2**number, 60_000)
            assert longest_ms // 2 <= wait_ms <= longest_ms
        waits.add(tuple(ota.board.waits_ms))
    assert len(waits) > 10


def test_manifest_is_what_the_test_thinks() -> None:
    assert [entry["dst_path"] for entry in json.loads(SERVED["/manifest.json"])["update"]] == [
        "flash/main.py"
    ]
