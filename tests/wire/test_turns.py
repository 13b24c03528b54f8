"""Who may go on when, on a clock that only the work itself moves."""

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from otaserver.wire.turns import SLICE_S, TURN_S, Turns


class Crowd:
    """Connections that have requests to work off, each of which takes time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.done: list[str] = []

    def connection(self, name: str, requests: int, request_s: float) -> Callable[[], None]:
        """What works off a connection's requests, as far as its turns go."""
        left = requests

        def work() -> None:
            nonlocal left
            self.turns.begin()
            while left:
                if self.turns.is_over:
                    self.turns.wait(work)
                    return
                left -= 1
                self.clock.rightNow += request_s
                self.done.append(name)

        return work

    def come_round(self) -> None:
        """The reactor makes those calls that are due, and no later ones."""
        due, self.clock.calls = self.clock.calls, []
        for call in due:
            assert call.getTime() <= self.clock.seconds()
            call.func()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def test_what_takes_no_time_is_not_interrupted(crowd: Crowd) -> None:
    crowd.connection("a", 10_000, 0)()
    assert len(crowd.done) == 10_000
    crowd.come_round()
    assert crowd.clock.calls == [], "nothing is called without a need"


def test_a_turn_ends_and_the_next_round_begins_another(crowd: Crowd) -> None:
    crowd.connection("a", 20, SLICE_S / 4)()
    assert len(crowd.done) == 4
    for number in range(2, 6):
        crowd.come_round()
        assert len(crowd.done) == 4 * number
    crowd.come_round()
    assert crowd.clock.calls == []


def test_who_queues_is_served_in_order_and_goes_to_the_end(crowd: Crowd) -> None:
    for name in "abc":
        crowd.connection(name, 9, TURN_S)()
    assert crowd.done == ["a", "b"], "the turn is over"
    for _ in range(5):
        crowd.come_round()
    assert "".join(crowd.done) == "ababcab"


def test_a_slice_holds_many_requests_that_are_cheap(crowd: Crowd) -> None:
    for name in "abc":
        crowd.connection(name, 100, SLICE_S / 4)()
    crowd.done.clear()
    crowd.come_round()
    assert crowd.done == [*"aaaa", *"bbbb", *"cccc"]


def test_one_request_does_not_stand_in_line(crowd: Crowd) -> None:
    for number in range(100):
        crowd.connection(str(number), 450, TURN_S)()
    for _ in range(3):
        crowd.come_round()
        crowd.done.clear()
        crowd.connection("new", 1, TURN_S)()
        assert crowd.done == ["new"], "it has been done in the round in which it came"


def test_a_round_is_bounded_whatever_waits(crowd: Crowd) -> None:
    for number in range(1_000):
        crowd.connection(str(number), 450, TURN_S / 10)()
    for _ in range(20):
        began_s = crowd.clock.seconds()
        crowd.come_round()
        for number in range(50):
            crowd.connection(f"new {number}", 1, TURN_S / 10)()
        assert crowd.clock.seconds() - began_s < 2.5 * TURN_S


def test_a_fault_in_one_leaves_the_others_their_turn(crowd: Crowd) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    crowd.connection("a", 2, TURN_S)()
    crowd.turns.wait(fail)
    crowd.connection("b", 1, TURN_S)()
    crowd.connection("c", 1, TURN_S)()
    for _ in range(3):
        crowd.come_round()
    assert crowd.done == ["a", "b", "a", "c"]
