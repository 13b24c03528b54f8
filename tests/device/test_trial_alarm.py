"""The trial's alarm on boards whose timers are as their version of MicroPython has them."""

from pathlib import Path

import pytest

from tests.support.board import SimulatedBoard
from tests.support.device import Boot

pytestmark = pytest.mark.real

LONG = 75
APPLICATION = b"""
from machine import Timer
for number in (-1, 3):
    timer = Timer(number)
    try:
        timer.init(mode=Timer.PERIODIC, period=1000, callback=lambda timer: None)
    except OSError:
        pass
"""


@pytest.fixture
def esp32(tmp_path: Path) -> SimulatedBoard:
    made = SimulatedBoard(tmp_path, "esp32")
    made.new["flash/main.py"] = b"raise ValueError('bad release')\n"
    return made


def rings(boots: list[Boot]) -> int:
    return sum(boot.all("board").count("rings") for boot in boots)


@pytest.mark.parametrize("timers", ["virtual", "esp32", "c3", "c3-panics"])
def test_each_boot_of_the_trial_ends_by_the_alarm(esp32: SimulatedBoard, timers: str) -> None:
    esp32.update(image=None)
    boots = esp32.start_until_idle(timers=timers, minutes=LONG)
    assert rings(boots) == 3
    assert not any("panic" in boot.all("board") for boot in boots)
    esp32.is_old_again("not confirmed in 3 boots")


def test_the_application_does_not_replace_it(esp32: SimulatedBoard) -> None:
    esp32.new["flash/main.py"] = APPLICATION
    esp32.update(image=None)
    boots = esp32.start_until_idle(timers="esp32", minutes=LONG)
    assert rings(boots) == 3
    esp32.is_old_again("not confirmed in 3 boots")


def test_a_board_without_any_says_so(esp32: SimulatedBoard) -> None:
    esp32.new["flash/main.py"] = esp32.old["flash/main.py"] + b"# 1.0.1\n"
    esp32.update(image=None)
    with esp32.offers_nothing() as server:
        boot = esp32.start(server.port, timers="raises")
    assert "alarm" not in boot.all("board")
    assert esp32.tree() == esp32.new
    outcome = esp32.file("flash/.ota/outcome").decode()
    assert outcome == "installed\t1.0.1\t1.0.0\tno alarm could be set for the trial"


def test_a_boot_that_its_set_up_ends_does_not_count(esp32: SimulatedBoard) -> None:
    """The chip crashes whatever is tried: the release has its three boots all the same."""
    esp32.new["flash/main.py"] = b"import machine\nmachine.reset()\n"
    esp32.update(image=None)
    boots = esp32.start_until_idle(timers="panics", minutes=LONG)
    assert [boot.all("board").count("panic") for boot in boots[:5]] == [1, 0, 0, 0, 0]
    esp32.is_old_again("not confirmed in 3 boots; no alarm could be set for the trial")
