"""The parts of FTP that know no connection: lines, paths, addresses and listings."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.paths import BadPath
from otaserver.errors import OTAServerError
from otaserver.ftp.addresses import is_same_host, is_same_network, passive_text
from otaserver.ftp.command_line import CommandLine, parse_command
from otaserver.ftp.errors import Refused, code_and_text
from otaserver.ftp.list_formats import Entry, facts_of, time_value, unix_line
from otaserver.ftp.path_argument import resolve, without_options
from otaserver.ftp.patterns import compiled
from otaserver.ftp.replies import long_reply
from otaserver.http.errors import _REPLIES as REPLIES

NOW_S = 1_790_000_000


@given(st.binary(max_size=200))
def test_a_line_is_a_command_or_is_refused(line: bytes) -> None:
    try:
        verb, argument = parse_command(line)
    except Refused as refused:
        assert refused.code == 500
    else:
        assert 3 <= len(verb) <= 4 and verb.isupper() and verb.isascii()
        assert isinstance(argument, bytes)


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        (b"RETR a b", ("RETR", b"a b")),
        (b"retr  a", ("RETR", b" a")),
        (b"PASS", ("PASS", b"")),
        (b"RETR a\r\0b", ("RETR", b"a\rb")),
        (b"RETR \xff\xffx", ("RETR", b"\xffx")),
        (b"\xff\xfd\x06ABOR", ("ABOR", b"")),
        (b"\xffABOR", ("ABOR", b"")),
    ],
)
def test_lines(line: bytes, parsed: tuple[str, bytes]) -> None:
    assert parse_command(line) == CommandLine(*parsed)


@given(st.binary(max_size=60), st.lists(st.sampled_from(["a", "b"]), max_size=3))
def test_no_path_leads_out(argument: bytes, folder: list[str]) -> None:
    try:
        location = resolve(tuple(folder), argument)
    except BadPath:
        return
    assert not {"", ".", ".."} & set(location.path.names)
    assert not any("/" in name or "\0" in name for name in location.path.names)


@pytest.mark.parametrize(
    ("argument", "names", "is_folder", "query"),
    [
        (b"", ("x",), True, b""),
        (b".", ("x",), True, b""),
        (b"..", (), True, b""),
        (b"../..", (), True, b""),
        (b"/", (), True, b""),
        (b"y", ("x", "y"), False, b""),
        (b"y//z/", ("x", "y", "z"), True, b""),
        (b"//y", ("y",), False, b""),
        (b"a?b", ("x", "a?b"), False, b""),
        (b"manifest.json?a=b", ("x", "manifest.json"), False, b"a=b"),
        (b"manifest.json?a=b/../c?d", ("x", "manifest.json"), False, b"a=b/../c?d"),
        (b"/y/manifest.json?", ("y", "manifest.json"), False, b""),
        (b"xmanifest.json?a", ("x", "xmanifest.json?a"), False, b""),
    ],
)
def test_paths(argument: bytes, names: tuple[str, ...], is_folder: bool, query: bytes) -> None:
    assert resolve(("x",), argument) == ((names, is_folder), query)


@pytest.mark.parametrize(
    ("argument", "path"),
    [(b"-la", b""), (b"-l -a x", b"x"), (b"-la x y", b"x y"), (b"x -la", b"x -la"), (b"-", b"-")],
)
def test_options_of_ls(argument: bytes, path: bytes) -> None:
    assert without_options(argument) == path


@pytest.mark.parametrize(
    ("host", "other", "is_host", "is_network"),
    [
        ("192.0.2.1", "192.0.2.1", True, True),
        ("::ffff:192.0.2.1", "192.0.2.1", True, True),
        ("192.0.2.254", "192.0.2.1", False, True),
        ("::ffff:192.0.2.254", "192.0.2.1", False, True),
        ("192.0.3.1", "192.0.2.1", False, False),
        ("2001:db8::1%eth0", "2001:db8::1", True, True),
        ("2001:db8::ffff:1", "2001:db8::1", False, True),
        ("2001:db8:0:1::1", "2001:db8::1", False, False),
        ("2001:db8::1", "192.0.2.1", False, False),
        ("192.0.2.1", "", False, False),
    ],
)
def test_neighbours(host: str, other: str, is_host: bool, is_network: bool) -> None:
    assert is_same_host(host, other) is is_host
    assert is_same_network(host, other) is is_network


@given(st.text(max_size=300), st.text(st.sampled_from("ab*?[]!-^\\"), max_size=60))
def test_a_pattern_matches_or_does_not(name: str, pattern: str) -> None:
    compiled(pattern).match(name)
    assert compiled("*").match(name)


def test_a_pattern_takes_no_exponential_time() -> None:
    assert not compiled("*a" * 127 + "b").match("a" * 255)
    assert not compiled(("*" + "a" * 20) * 12 + "b").match("a" * 255)


def test_what_passes_has_a_code_that_says_so() -> None:
    """Where HTTP tells a client to try again, so does FTP; and nowhere else does it."""
    for kind, http in REPLIES.items():
        error = OTAServerError.__new__(kind)
        code, _ = code_and_text(error)
        passes = http.status is HTTPStatus.SERVICE_UNAVAILABLE
        is_fault = http.status is HTTPStatus.INTERNAL_SERVER_ERROR
        assert code < 500 if passes or is_fault else code >= 500, kind


def test_addresses_are_written() -> None:
    assert passive_text("192.0.2.1", 258) == "Entering passive mode (192,0,2,1,1,2)."


@pytest.mark.parametrize(
    ("age_s", "when"),
    [(0, "Sep 21 14:13"), (183 * 86400, "Mar 22  2026"), (-60, "Sep 21  2026")],
)
def test_times_in_list(age_s: int, when: str) -> None:
    line = unix_line(Entry("x y", False, 5, NOW_S - age_s, "u"), NOW_S)
    assert line == f"-r--r--r-- 1 ota ota            5 {when} x y"


def test_facts() -> None:
    entry = Entry("x", False, 5, 0, "u")
    assert facts_of(entry) == "type=file;size=5;modify=19700101000000;perm=r;unique=u;"
    folder = Entry("x", True, 0, 0, "u")
    assert facts_of(folder) == "type=dir;modify=19700101000000;perm=el;unique=u;"
    assert time_value(NOW_S) == "20260921141320"


def test_no_line_of_a_long_reply_can_be_taken_for_its_last() -> None:
    assert long_reply(211, "a", ["211 end", "x"], "b") == b"211-a\r\n 211 end\r\n x\r\n211 b\r\n"
