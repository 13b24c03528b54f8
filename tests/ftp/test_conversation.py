"""The order of commands and replies, without a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.ftp.command_line import CommandLine
from otaserver.ftp.conversation import (
    MAX_WAITING_BYTES,
    MAX_WAITING_COMMANDS,
    RULES,
    TRANSITIONS,
    Conversation,
    ConversationError,
    Event,
    State,
    Verdict,
)
from otaserver.ftp.errors import Refused

NOOP = CommandLine("NOOP", b"")
STAT = CommandLine("STAT", b"")
ABOR = CommandLine("ABOR", b"")
RETR = CommandLine("RETR", b"x")


def in_state(state: State) -> Conversation:
    conversation = Conversation()
    conversation.state = state
    return conversation


def test_there_is_a_row_and_a_rule_for_each_state() -> None:
    assert set(TRANSITIONS) == set(RULES) == set(State)


def test_every_state_can_close_and_none_is_left_then() -> None:
    assert all(row[Event.CLOSE] is State.CLOSING for row in TRANSITIONS.values())
    assert set(TRANSITIONS[State.CLOSING].values()) == {State.CLOSING}


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.READY, Event.END),
        (State.UNREAD, Event.END),
        (State.BUSY, Event.BEGIN),
        (State.BUSY_UNREAD, Event.BEGIN),
        (State.UNREAD, Event.BEGIN),
    ],
)
def test_what_can_not_happen(state: State, event: Event) -> None:
    with pytest.raises(ConversationError):
        in_state(state).happen(event)


def test_a_command_is_done_at_once() -> None:
    conversation = Conversation()
    assert not conversation.has_next
    assert conversation.receive(NOOP) is Verdict.DO
    assert conversation.has_next
    assert conversation.next() == NOOP
    assert conversation.state is State.BUSY
    conversation.happen(Event.END)
    assert conversation.next() is None


def test_commands_wait_in_order_for_the_one_before_them() -> None:
    conversation = Conversation()
    assert conversation.receive(RETR) is Verdict.DO
    assert conversation.next() == RETR
    wrong = Refused(500, "That is not a command.")
    assert conversation.receive(NOOP) is Verdict.WAIT
    assert conversation.receive(wrong) is Verdict.WAIT
    assert conversation.next() is None
    conversation.happen(Event.END)
    assert conversation.next() == NOOP
    conversation.happen(Event.END)
    assert conversation.next() is wrong


def test_nothing_is_done_or_read_while_replies_lie_unread() -> None:
    conversation = in_state(State.BUSY)
    conversation.receive(NOOP)
    conversation.happen(Event.PAUSE)
    conversation.happen(Event.END)
    assert conversation.state is State.UNREAD
    assert conversation.next() is None
    assert not conversation.reads
    conversation.happen(Event.RESUME)
    assert conversation.next() == NOOP
    assert conversation.reads


def test_the_client_is_waited_for_unless_a_command_is_being_done() -> None:
    waited = {state for state in State if in_state(state).has_deadline}
    assert waited == {State.READY, State.UNREAD, State.CLOSING}


class TestDuringATransfer:
    def test_stat_is_answered(self) -> None:
        assert in_state(State.BUSY).receive(STAT, is_transferring=True) is Verdict.ANSWER_NOW

    def test_stat_does_not_overtake_commands(self) -> None:
        conversation = in_state(State.BUSY)
        conversation.receive(NOOP)
        assert conversation.receive(STAT, is_transferring=True) is Verdict.WAIT

    def test_stat_waits_for_anything_but_a_transfer(self) -> None:
        assert in_state(State.BUSY).receive(STAT) is Verdict.WAIT

    def test_abor_waits_and_takes_effect(self) -> None:
        conversation = in_state(State.BUSY)
        assert conversation.receive(ABOR) is Verdict.ABORT
        conversation.happen(Event.END)
        assert conversation.next() == ABOR


def test_nothing_is_read_while_the_queue_is_full() -> None:
    conversation = in_state(State.BUSY)
    for _ in range(MAX_WAITING_COMMANDS):
        assert conversation.reads
        conversation.receive(NOOP)
    assert not conversation.reads
    conversation.happen(Event.END)
    assert conversation.next() == NOOP
    assert conversation.reads


def test_long_commands_fill_the_queue_sooner() -> None:
    conversation = in_state(State.BUSY)
    conversation.receive(CommandLine("RETR", b"x" * (MAX_WAITING_BYTES - 1)))
    assert conversation.reads
    conversation.receive(CommandLine("RETR", b"x"))
    assert not conversation.reads


def test_what_arrives_after_the_end_is_dropped() -> None:
    conversation = in_state(State.BUSY)
    conversation.receive(NOOP)
    conversation.happen(Event.CLOSE)
    assert conversation.is_closing
    assert conversation.receive(NOOP) is Verdict.DROP
    conversation.happen(Event.END)
    assert conversation.next() is None
    assert conversation.reads, "to be dropped, it has to be read"


@given(st.lists(st.sampled_from([*Event, NOOP, ABOR]), max_size=100))
def test_commands_begin_in_the_order_in_which_they_arrived(
    steps: "list[Event | CommandLine]",
) -> None:
    conversation = Conversation()
    arrived: list[CommandLine] = []
    begun: list[object] = []
    for number, step in enumerate(steps):
        if isinstance(step, CommandLine):
            line = step._replace(argument=b"%d" % number)
            if conversation.receive(line) is not Verdict.DROP:
                arrived.append(line)
        elif step is not Event.BEGIN and step in TRANSITIONS[conversation.state]:
            conversation.happen(step)
        while (line_begun := conversation.next()) is not None:
            begun.append(line_begun)
        assert RULES[conversation.state].does_commands is (conversation.state is State.READY)
    assert begun == arrived[: len(begun)]
