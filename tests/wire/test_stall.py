"""When the reader of an answer is given up, for readers and kernels of all kinds."""

from otaserver.wire.stall import StallDetector

WINDOW_S = 60
MIN_RATE = 100


def detector() -> StallDetector:
    return StallDetector(0, WINDOW_S, MIN_RATE)


def given_up_s(
    read_rate: float,
    buffer_bytes: int,
    leap_bytes: int,
    until_s: int,
    fast_s: int = 0,
    segment_bytes: int = 0,
) -> int | None:
    """When a reader is given up whose kernel takes a buffer's worth and tells of room in leaps.

    For so many seconds at first, it reads as fast as anyone can.
    """
    watching = detector()
    read = arrived = 0.0
    for now_s in range(1, until_s + 1):
        if now_s <= fast_s:
            read += 10_000_000
            arrived, room = read, buffer_bytes
        else:
            read = min(arrived, read + read_rate)
            room = int(read + buffer_bytes - arrived)
            if room >= leap_bytes:
                arrived, room = arrived + room, 0
            else:
                room = 0
        if watching.is_stalled(now_s, int(arrived), room, segment_bytes):
            return now_s
    return None


def test_nothing_is_too_slow_before_the_window_is_over() -> None:
    progress = detector()
    assert not progress.is_stalled(59.9, 0, 0, 0)
    assert progress.is_stalled(60, 0, 0, 0)


def test_a_healthy_reader_lives_however_seldom_its_kernel_tells_of_room() -> None:
    for buffer_bytes in (4_096, 65_536, 4_000_000):
        for leap_bytes in (1, 1_460, buffer_bytes // 16, buffer_bytes // 2, buffer_bytes):
            for rate in (MIN_RATE, 500, 20_000):
                for fast_s in (0, 3):
                    until_s = min(50_000, 4 * buffer_bytes // rate + 200)
                    assert given_up_s(rate, buffer_bytes, leap_bytes, until_s, fast_s) is None


def test_so_it_does_where_the_segments_tell_how_seldom_that_is() -> None:
    for buffer_bytes, segment_bytes in ((5_744, 1_436), (65_536, 1_460), (65_536, 65_483)):
        leap_bytes = max(buffer_bytes // 16, min(segment_bytes, buffer_bytes))
        for rate in (MIN_RATE, 500, 20_000):
            for fast_s in (0, 3):
                lived = given_up_s(rate, buffer_bytes, leap_bytes, 9_000, fast_s, segment_bytes)
                assert lived is None


def test_there_one_that_has_stopped_is_given_up_sooner() -> None:
    # A small device, a laptop, and a download in full swing.
    for buffer_bytes, at_most_s in ((5_744, 95), (65_536, 230), (1_000_000, 2_600)):
        given_up = given_up_s(0, buffer_bytes, 1_460, 3_000, 3, 1_436)
        assert given_up is not None
        assert given_up <= at_most_s


def test_a_reader_that_is_slower_is_given_up() -> None:
    for buffer_bytes in (4_096, 65_536):
        for rate in (0, 1, 50, 90):
            # What it can have unread, and then the window, at the difference of the rates.
            at_most_s = (buffer_bytes + WINDOW_S * MIN_RATE) / (MIN_RATE - rate)
            given_up = given_up_s(rate, buffer_bytes, 1, 10_000)
            assert given_up is not None
            assert given_up <= at_most_s + 1


def test_a_fast_beginning_excuses_no_more_than_what_can_be_unread() -> None:
    for fast_s in (1, 10, 1_000):
        given_up = given_up_s(0, 65_536, 65_536, 5_000, fast_s)
        assert given_up is not None
        assert given_up <= fast_s + WINDOW_S + 65_536 / MIN_RATE + 2


def test_an_unknown_buffer_is_not_taken_for_an_endless_one() -> None:
    progress = detector()
    progress.is_stalled(1, 10**12, 0, 0)
    assert progress.is_stalled(1 + WINDOW_S + (1 << 23) / MIN_RATE, 10**12, 0, 0)


def test_a_bad_link_has_the_window_to_recover() -> None:
    progress = detector()
    assert not progress.is_stalled(1, 6_000, 6_000, 0)
    assert not progress.is_stalled(110, 6_000, 6_000, 0)
    assert not progress.is_stalled(111, 20_000, 6_000, 0)
    assert not progress.is_stalled(220, 20_000, 6_000, 0)


def test_a_rate_of_zero_never_stalls() -> None:
    assert not StallDetector(0, 60, 0).is_stalled(1e9, 0, 0, 0)
