import pytest

from otaserver.wire.addresses import canonical, unmapped, url_authority


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_canonical(host: str, told: str) -> None:
    assert canonical(host) == told


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        ("::192.0.2.1", "::192.0.2.1"),
        ("2001:DB8::1", "2001:DB8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_only_mapped_addresses_are_rewritten(host: str, told: str) -> None:
    assert unmapped(host) == told


def test_addresses_in_urls() -> None:
    assert url_authority("192.0.2.1", 21, 21) == "192.0.2.1"
    assert url_authority("192.0.2.1", None) == "192.0.2.1"
    assert url_authority("192.0.2.1", 21) == "192.0.2.1:21"
    assert url_authority("2001:db8::1", 22, 21) == "[2001:db8::1]:22"
