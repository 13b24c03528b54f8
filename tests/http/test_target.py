import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.paths import TreePath
from otaserver.errors import OTAServerError
from otaserver.http.target import Target, checked_host, parse_target


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        (b"/", Target(TreePath((), True), b"", None)),
        (b"/a", Target(TreePath(("a",), False), b"", None)),
        (b"/a/", Target(TreePath(("a",), True), b"", None)),
        (b"/a%20b", Target(TreePath(("a b",), False), b"", None)),
        (b"/m?x=/../%zz", Target(TreePath(("m",), False), b"x=/../%zz", None)),
        (b"/m?a?b", Target(TreePath(("m",), False), b"a?b", None)),
        (b"/a%3fb", Target(TreePath(("a?b",), False), b"", None)),
        (b"http://h/a?b", Target(TreePath(("a",), False), b"b", b"h")),
        (b"HTTPS://h:1/a/", Target(TreePath(("a",), True), b"", b"h:1")),
        (b"http://h", Target(TreePath((), True), b"", b"h")),
        (b"http://h?x", Target(TreePath((), True), b"x", b"h")),
        ("/ü".encode(), Target(TreePath(("ü",), False), b"", None)),
    ],
)
def test_what_is_asked_for(raw: bytes, target: Target) -> None:
    assert parse_target(raw) == target


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"*",
        b"a",
        b"?x",
        b"ftp://h/a",
        b"h:443",
        b"/..",
        b"/%2e%2e/",
        b"/%2E./x",
        b"//",
        b"//h/a",
        b"/a%2fb",
        b"/a%2Fb",
        b"/..%2f..%2fetc%2fpasswd",
        b"/%00",
        b"/%",
        b"/%4",
        b"/%zz",
        b"/%ff",
        b"/%c0%ae%c0%ae/",
        b"http://h//",
        b"http://h/../x",
    ],
)
def test_what_can_be_no_path_is_refused(raw: bytes) -> None:
    with pytest.raises(OTAServerError):
        parse_target(raw)


@pytest.mark.parametrize(
    "host",
    [
        b"h",
        b"example.com",
        b"example.com.",
        b"h:1",
        b"h:65535",
        b"192.168.1.10:8000",
        b"[::1]",
        b"[2001:db8::1]:8000",
        b"some_host",
        b"xn--bcher-kva.example",
    ],
)
def test_a_host_is_taken_as_it_is(host: bytes) -> None:
    assert checked_host(host) == host.decode()


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b" ",
        b":80",
        b"h:",
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
    with pytest.raises(OTAServerError):
        checked_host(host)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_target_or_refused(raw: bytes) -> None:
    for prefix in (b"", b"/", b"http://"):
        try:
            target = parse_target(prefix + raw)
        except OTAServerError:
            continue
        assert not set(target.path.names) & {"", ".", ".."}
