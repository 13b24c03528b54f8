"""The connection stalls or breaks at every single byte of an answer, in turn."""

import json

import pytest

from tests.device.conftest import raw_server
from tests.support.library import FTPOTA, QuickBoard, Reset, WiFiOTA, ota_recovery
from tests.support.raw_servers import CLOSE, RESET, STALL, honest
from tests.support.update_tree import contents, manifest

OLD = {"flash/main.py": b"old\n"}
NEW = {"flash/main.py": b"the new one\n"}
SERVED = contents(manifest(OLD, NEW), NEW)
FILE = "/1.0.1/flash/main.py"
TRANSPORTS = {"http": WiFiOTA, "ftp": FTPOTA}


class OnceAt:
    """Stops after so many bytes of the answer for a path, once for each number."""

    def __init__(self, path, ending):
        self.path = path
        self.ending = ending
        self.keep = 0
        self.is_armed = False
        self.answer_bytes = 1

    def __call__(self, path, data):
        if path.partition("?")[0] != self.path or not self.is_armed:
            return honest(path, data)
        self.is_armed = False
        self.answer_bytes = len(data)
        return data[: self.keep], self.ending


@pytest.mark.parametrize("path", [FILE, "/manifest.json"])
@pytest.mark.parametrize("ending", [CLOSE, RESET, STALL])
def test_one_break_at_each_byte(tmp_path, transport, path, ending):
    fault = OnceAt(path, ending)
    step = 1 if path == FILE else 37
    with raw_server(transport, SERVED, fault=fault) as server:
        while fault.keep < fault.answer_bytes:
            fault.is_armed = True
            folder = tmp_path / str(fault.keep)
            update(folder, transport, server.port)
            assert not fault.is_armed
            assert (folder / "flash/main.py").read_bytes() == NEW["flash/main.py"]
            fault.keep += step
            server.release_stalled()
    assert fault.keep > 10 // step


def update(folder, transport, port):
    (folder / "flash").mkdir(parents=True)
    (folder / "flash/main.py").write_bytes(OLD["flash/main.py"])
    (folder / "flash/OTA_VERSION.py").write_text("VERSION = '1.0.0'\n")
    board = QuickBoard(folder)
    ota = TRANSPORTS[transport]("net", "pw", "127.0.0.1", port, board=board, timeout_s=0.1)
    with pytest.raises(Reset):
        ota.update()
    assert ota_recovery.recover(board) == "trial"
    assert ota.confirm()
    assert board.waits_ms


def test_waits_grow_and_differ(tmp_path):
    (tmp_path / "flash").mkdir()
    board = QuickBoard(tmp_path)
    waits = set()
    for _ in range(20):
        board.waits_ms.clear()
        # Nothing listens at port 9 of this machine.
        ota = WiFiOTA("net", "pw", "127.0.0.1", 9, board=board, attempts=8)
        with pytest.raises(Exception, match="no connection"):
            ota.update()
        assert len(board.waits_ms) == 7
        for number, wait_ms in enumerate(board.waits_ms):
            longest_ms = min(2000 * 2**number, 60_000)
            assert longest_ms // 2 <= wait_ms <= longest_ms
        waits.add(tuple(board.waits_ms))
    assert len(waits) > 10


def test_manifest_is_what_the_test_thinks():
    assert [entry["dst_path"] for entry in json.loads(SERVED["/manifest.json"])["update"]] == [
        "flash/main.py"
    ]
