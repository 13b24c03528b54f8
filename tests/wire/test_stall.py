from otaserver.wire.stall import StallDetector


def test_nothing_is_too_slow_before_the_window_is_over() -> None:
    progress = StallDetector(now_s=100, window_s=60, min_rate=100)
    assert not progress.is_stalled(159.9, 0)
    assert progress.is_stalled(160, 0)


def test_the_lowest_rate_is_enough_and_a_byte_less_is_not() -> None:
    assert not StallDetector(0, 60, 100).is_stalled(60, 6000)
    assert StallDetector(0, 60, 100).is_stalled(60, 5999)


def test_a_fast_beginning_does_not_excuse_a_stall_later() -> None:
    progress = StallDetector(0, 60, 100)
    assert not progress.is_stalled(60, 1_000_000)
    assert not progress.is_stalled(119, 1_000_000)
    assert progress.is_stalled(120, 1_000_000)


def test_a_trickle_of_one_byte_a_second_is_a_stall() -> None:
    progress = StallDetector(0, 60, 100)
    assert [progress.is_stalled(second, second) for second in range(1, 61)][-1]


def test_a_rate_of_zero_never_stalls() -> None:
    assert not StallDetector(0, 60, 0).is_stalled(1e9, 0)
