"""A watchdog is fed all the time, whatever the update does and however long it waits."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.board import SimulatedBoard
from tests.support.device import Boot
from tests.support.library import DictionaryOTA, QuickBoard, Reset, ota_files, put, quick_ota
from tests.support.raw_servers import STALL, RawHTTPServer
from tests.support.update_tree import contents, manifest

import ota_errors  # isort: skip  (tests.support.library has put it within reach)

# Between two feedings: a file is hashed and written, and perhaps the journal removed.
MOST_STEPS = 3
MANY = 30
MAIN_PY = b"""
import machine
from OTA import WiFiOTA
from ota_errors import OTAError

watchdog = machine.WDT(timeout=5000)
ota = WiFiOTA("workshop", "secret", "ota.local", 8000, timeout_s=TIMEOUT_S, attempts=3)
if FED:
    ota.board.feed_watchdog = watchdog.feed
try:
    ota.update()
except OTAError as error:
    print("ended:", error)
"""


def many(what: bytes) -> dict[str, bytes]:
    return {f"flash/lib/file{number:02}.py": what * number for number in range(MANY)}


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets a word for each file that is hashed, copied or removed."""
    found: list[str] = []

    def noted(work: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*words: Any) -> Any:
            found.append("worked")
            return work(*words)

        return noting

    monkeypatch.setattr(ota_files, "_pour", noted(ota_files._pour))
    monkeypatch.setattr(os, "remove", noted(os.remove))
    return found


def most_in_a_row(events: list[str]) -> int:
    return max(len(run) for run in "".join(word[0] for word in events).split("f"))


@pytest.mark.parametrize("after", ["confirm", "rollback"])
def test_it_is_fed_for_every_file(tmp_path: Path, events: list[str], after: str) -> None:
    old, new = many(b"old\n"), many(b"new\n") | {"flash/lib/file00.py": b""}
    put(tmp_path, old)
    ota = DictionaryOTA(board=QuickBoard(tmp_path))
    ota.board.feed_watchdog = lambda: events.append("fed")
    ota.served = contents(manifest(old, new), new)
    with pytest.raises(Reset):
        ota.update()
    with contextlib.suppress(Reset):
        getattr(ota, after)()
    assert events.count("worked") > 6 * MANY
    assert 0 < most_in_a_row(events) <= MOST_STEPS


@pytest.mark.real
def test_it_is_fed_before_it_connects(tmp_path: Path, transport: str) -> None:
    put(tmp_path, many(b"old\n"))
    fed = []
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ota = quick_ota(tmp_path, transport, port, attempts=3)
    ota.board.feed_watchdog = lambda: fed.append(len(ota.board.waits_ms))
    with pytest.raises(ota_errors.LinkError):
        ota.update()
    # Once for each attempt, after the wait for it.
    assert fed == [0, 1, 2]


FED_OR_NOT = pytest.mark.parametrize("fed", [True, False], ids=["fed", "not-fed"])


@pytest.mark.real
class TestOnABoard:
    """The watchdog there bites after five seconds of the board's own time."""

    @staticmethod
    def start(
        tmp_path: Path, kind: str, fed: bool, timeout_s: int, port: int, **settings: object
    ) -> Boot:
        ssid = b"vehicle" if kind == "pycom" else b"workshop"
        main_py = MAIN_PY.replace(b"FED", str(fed).encode()).replace(b"workshop", ssid)
        if kind == "pycom":
            main_py = main_py.replace(b'"secret"', b'"secret of the fleet"')
        board = SimulatedBoard(tmp_path, kind)
        board.put({"flash/main.py": main_py.replace(b"TIMEOUT_S", str(timeout_s).encode())})
        return board.start(port, **settings)

    @pytest.mark.parametrize("kind", ["pycom", "esp32", "rp2"])
    @FED_OR_NOT
    def test_wifi_that_never_comes(self, tmp_path: Path, kind: str, fed: bool) -> None:
        boot = self.start(tmp_path, kind, fed, 4, 0, wifi="absent")
        assert len(boot.all("ended:")) == fed
        # The application is over then, and feeds it no more.
        assert boot.all("board")[-1] == "watchdog"

    @pytest.mark.parametrize("kind", ["pycom", "esp32", "rp2"])
    @FED_OR_NOT
    def test_server_that_falls_silent(self, tmp_path: Path, kind: str, fed: bool) -> None:
        silent = RawHTTPServer({"/manifest.json": b"null"}, lambda path, data: (b"", STALL))
        with silent as server:
            boot = self.start(tmp_path, kind, fed, 1, server.port)
        assert boot.all("ended:") == ["the server fell silent"] * fed
