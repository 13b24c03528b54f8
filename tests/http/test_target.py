import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.paths import TreePath
from otaserver.errors import OTAServerError
from otaserver.http.target import Target, parse_target


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


@given(st.binary(max_size=40))
def test_any_bytes_are_a_target_or_refused(raw: bytes) -> None:
    for prefix in (b"", b"/", b"http://"):
        try:
            target = parse_target(prefix + raw)
        except OTAServerError:
            continue
        assert not set(target.path.names) & {"", ".", ".."}
