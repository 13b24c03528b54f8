"""The parts of FTP that know no connection: lines, paths, addresses and listings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaserver.catalogue.paths import BadPath
from otaserver.ftp.addresses import passive_text
from otaserver.ftp.command_line import CommandLine, parse_command
from otaserver.ftp.errors import Refused
from otaserver.ftp.list_formats import Entry, facts_of, time_value, unix_line
from otaserver.ftp.path_argument import resolve, without_options
from otaserver.ftp.replies import long_reply

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
