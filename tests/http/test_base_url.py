import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.http.base_url import BadHost, Host, Reached, base_url, is_from_proxy, parse_host

PLAIN = Reached("192.0.2.80", 8000, is_secure=False)
USUAL = Reached("192.0.2.80", 80, is_secure=False)
SECURE = Reached("2001:db8::80", 443, is_secure=True)


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        (b"h", Host("h", None)),
        (b"example.com", Host("example.com", None)),
        (b"example.com.", Host("example.com.", None)),
        (b"h:", Host("h", None)),
        (b"h:1", Host("h", 1)),
        (b"h:65535", Host("h", 65535)),
        (b"192.168.1.10:8000", Host("192.168.1.10", 8000)),
        (b"[::1]", Host("::1", None)),
        (b"[::1]:", Host("::1", None)),
        (b"[2001:db8::1]:8000", Host("2001:db8::1", 8000)),
        (b"some_host", Host("some_host", None)),
        (b"xn--bcher-kva.example", Host("xn--bcher-kva.example", None)),
    ],
)
def test_a_host_is_read(raw: bytes, host: Host) -> None:
    assert parse_host(raw) == host


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b" ",
        b":80",
        b"h:0",
        b"h:65536",
        b"h:999999",
        b"h:8a",
        b"a b",
        b"a/b",
        b"h/",
        b"h@evil",
        b"h?x",
        b"h#x",
        b'h"x',
        b"h\\x",
        b"<h>",
        b"h\n",
        b"h,h",
        b"-h",
        b".h",
        b"\xff",
        "ü".encode(),
        b"[::1",
        b"::1",
        b"[]",
        b"[:::]",
        b"[1.2.3.4]",
        b"[fe80::1%25eth0]",
        b"a" * 300,
    ],
)
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    with pytest.raises(BadHost):
        parse_host(host)


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        (
            b"a b",
            "The request is for the host 'a b', which is neither a host name nor",
        ),
        (b"h:65536", "The request is for port 65536; ports are from 1 to 65535."),
        (b"[:::]", "The request is for the host '[:::]', which is not a valid IPv6 address."),
        (b"\xff\n" + b"a" * 300, "The request is for the host '\\xff\\naaa"),
    ],
)
def test_what_is_wrong_with_a_host_is_said(host: bytes, sentence: str) -> None:
    with pytest.raises(BadHost) as raised:
        parse_host(host)
    assert str(raised.value).startswith(sentence)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("named", "reached", "url"),
    [
        (b"h", PLAIN, "http://h:8000"),
        (b"h:", PLAIN, "http://h:8000"),
        (b"h:80", PLAIN, "http://h:80"),
        (b"h", USUAL, "http://h"),
        (b"h", SECURE, "https://h"),
        (b"h", Reached("192.0.2.80", 80, is_secure=True), "https://h:80"),
        (b"h", Reached("", None, is_secure=False), "http://h"),
        (b"[2001:db8::1]", PLAIN, "http://[2001:db8::1]:8000"),
        (None, PLAIN, "http://192.0.2.80:8000"),
        (None, USUAL, "http://192.0.2.80"),
        (None, SECURE, "https://[2001:db8::80]"),
        (None, Reached("::ffff:192.0.2.80", 8000, is_secure=False), "http://192.0.2.80:8000"),
        (None, Reached("fe80::1%eth0", 8000, is_secure=False), "http://[fe80::1]:8000"),
        (None, Reached("", None, is_secure=False), "http://localhost"),
    ],
)
def test_urls_begin_with_what_was_reached(named: bytes | None, reached: Reached, url: str) -> None:
    assert base_url(named, reached, is_from_proxy=False) == url


def test_a_proxy_knows_its_own_port() -> None:
    assert base_url(b"h", PLAIN, is_from_proxy=True) == "http://h"
    assert base_url(b"h:81", PLAIN, is_from_proxy=True) == "http://h:81"


def test_a_hostile_address_from_a_proxy_protocol_is_refused() -> None:
    with pytest.raises(BadHost):
        base_url(None, Reached('a"b', 80, is_secure=False), is_from_proxy=False)


@pytest.mark.parametrize("field", [b"Via", b"Forwarded", b"X-Forwarded-For", b"X-Real-Ip"])
def test_a_proxy_is_told_by_its_fields(field: bytes) -> None:
    assert is_from_proxy({b"Host": [b"h"], field: [b"x"]})
    assert not is_from_proxy({b"Host": [b"h"]})


@given(st.binary(max_size=40))
def test_any_host_is_read_or_refused(raw: bytes) -> None:
    try:
        url = base_url(raw, PLAIN, is_from_proxy=False)
    except BadHost:
        return
    assert set(url) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/[]_-")
