import pytest

from otaserver.wire.limits import ConnectionLimits, counted_address


def test_no_more_than_so_many_in_all() -> None:
    limits = ConnectionLimits(2, 0)
    assert [limits.admit(host) for host in ("1.1.1.1", "1.1.1.2", "1.1.1.3")] == [
        True,
        True,
        False,
    ]
    limits.release("1.1.1.1")
    assert limits.admit("1.1.1.3")


def test_no_more_than_so_many_from_one_address() -> None:
    limits = ConnectionLimits(0, 2)
    assert [limits.admit("1.1.1.1") for _ in range(3)] == [True, True, False]
    assert limits.admit("1.1.1.2")
    limits.release("1.1.1.1")
    assert limits.admit("1.1.1.1")
    assert not limits.admit("1.1.1.1")


def test_zero_means_any_number() -> None:
    limits = ConnectionLimits(0, 0)
    assert all(limits.admit("1.1.1.1") for _ in range(1000))


def test_connections_without_an_address_count_in_all_only() -> None:
    limits = ConnectionLimits(3, 1)
    assert [limits.admit("") for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(host: str, counted: str) -> None:
    assert counted_address(host) == counted


def test_a_whole_customer_network_of_ipv6_counts_as_one() -> None:
    limits = ConnectionLimits(0, 1)
    assert limits.admit("2001:db8::1")
    assert not limits.admit("2001:db8::2")
    limits.release("2001:db8::1")
    assert limits.admit("2001:db8::2")
