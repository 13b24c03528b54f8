"""What large answers may hold in memory together."""

import pytest
from twisted.internet.task import Clock

from otaserver.wire.unread import TooMuchUnread, UnreadAnswers


class Reader:
    """An answer that is being sent, as far as its memory goes."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


def body(size_bytes: int = 400) -> bytes:
    return bytes(bytearray(size_bytes))


def test_bodies_that_are_shared_count_once() -> None:
    unread = UnreadAnswers(Clock(), 1000)
    one = body()
    readers = [Reader() for _ in range(100)]
    for reader in readers:
        unread.make_room(one)
        unread.hold(reader, one)
    assert unread.held_bytes == 400
    for reader in readers:
        unread.release(reader)
        unread.release(reader)
    assert unread.held_bytes == 0


def test_one_too_many_is_turned_away_until_there_is_room() -> None:
    unread = UnreadAnswers(Clock(), 1000)
    readers = [Reader(), Reader()]
    for reader in readers:
        unread.hold(reader, body())
    with pytest.raises(TooMuchUnread, match="waiting to be read"):
        unread.make_room(body())
    unread.release(readers[0])
    unread.make_room(body())
    assert not any(reader.is_cut for reader in readers)


def test_a_single_one_may_be_larger_than_all_may_be() -> None:
    unread = UnreadAnswers(Clock(), 1000)
    unread.make_room(body(5000))
    unread.hold(Reader(), body(5000))
    with pytest.raises(TooMuchUnread):
        unread.make_room(body(1))


def test_who_has_stalled_longest_makes_room() -> None:
    clock = Clock()
    unread = UnreadAnswers(clock, 1000)
    stalled, going = Reader(), Reader()
    unread.hold(stalled, body())
    unread.hold(going, body())
    for _ in range(4):
        clock.advance(10)
        going.sent_bytes += 1
        if clock.seconds() < 30:
            with pytest.raises(TooMuchUnread):
                unread.make_room(body())
    unread.make_room(body())
    assert stalled.is_cut
    assert not going.is_cut
    assert unread.held_bytes == 400
    unread.hold(Reader(), body())
    with pytest.raises(TooMuchUnread):
        unread.make_room(body())
