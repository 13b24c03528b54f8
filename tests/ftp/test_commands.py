"""Every command, over a control connection in memory."""

import errno
import json
import os
import re
from ftplib import parse150
from pathlib import Path
from typing import NoReturn

import pytest

from otaserver.catalogue.model import FilesByDevicePath
from otaserver.ftp.commands import COMMANDS
from otaserver.manifest.update_request import parse_update_request
from otaserver.service import ManifestRequest
from tests.ftp.conftest import FIRMWARE, NAMES
from tests.ftp.site import SERVER, Client, Site

READING = {
    "USER", "PASS", "ACCT", "QUIT", "NOOP", "SYST", "FEAT", "OPTS", "HELP", "STAT", "PWD", "XPWD",
    "CWD", "XCWD", "CDUP", "XCUP", "TYPE", "MODE", "STRU", "PORT", "PASV", "EPRT", "EPSV", "REST",
    "RETR", "LIST", "NLST", "MLSD", "MLST", "SIZE", "MDTM", "ABOR", "ALLO",
}  # fmt: skip
FOR_EVERYBODY = {"USER", "PASS", "ACCT", "QUIT", "NOOP", "SYST", "FEAT", "OPTS", "HELP"}


def test_all_commands_that_read_are_there() -> None:
    assert set(COMMANDS) >= READING


def test_it_greets(site: Site) -> None:
    assert site.connect().replies() == ["220 otaserver is ready."]


def test_names_are_in_any_case(client: Client) -> None:
    assert client.code("noop") == 200
    assert client.code("NoOp") == 200


@pytest.mark.parametrize("command", sorted(READING - FOR_EVERYBODY))
def test_what_shows_the_tree_needs_a_login(site: Site, command: str) -> None:
    client = site.connect()
    client.replies()
    assert client.ask(f"{command} x") == "530 Log in first."


@pytest.mark.parametrize("command", ["NOOP", "SYST", "QUIT"])
def test_what_does_not_needs_none(site: Site, command: str) -> None:
    client = site.connect()
    client.replies()
    assert client.code(command) in (200, 215, 221)


@pytest.mark.parametrize(
    "command", ["CWD", "TYPE", "PORT", "REST", "RETR", "SIZE", "MDTM", "USER"]
)
def test_a_missing_argument(client: Client, command: str) -> None:
    assert client.code(command) == 501


@pytest.mark.parametrize("command", ["PWD x", "PASV x", "NOOP x", "CDUP x", "QUIT x", "ABOR x"])
def test_an_argument_too_many(client: Client, command: str) -> None:
    assert client.code(command) == 501
    assert client.is_connected


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("STOR x", 532), ("APPE x", 532), ("STOU", 532), ("RNTO x", 532),
        ("DELE x", 550), ("RNFR x", 550), ("MKD x", 550), ("XMKD x", 550), ("RMD x", 550),
        ("XRMD x", 550), ("MFMT 20200101000000 x", 550),
    ],
)  # fmt: skip
def test_nothing_can_be_written(client: Client, command: str, code: int) -> None:
    assert client.ask(command) == f"{code} This site is read-only."


@pytest.mark.parametrize("command", ["AUTH TLS", "PBSZ 0", "PROT P", "CCC", "REIN", "SITE x"])
def test_what_is_not_there_yet(client: Client, command: str) -> None:
    assert client.code(command) == 502


def test_what_never_was(client: Client) -> None:
    assert client.code("XYZZ") == 500


def test_syst_acct_allo_noop(client: Client) -> None:
    assert client.ask("SYST") == "215 UNIX Type: L8"
    assert client.code("ACCT x") == 202
    assert client.code("ALLO 100") == 202
    assert client.code("NOOP") == 200


def test_help_lists_all(client: Client) -> None:
    told = client.ask("HELP")
    assert told.startswith("214-") and told.splitlines()[-1].startswith("214 ")
    assert set(re.findall(r"\b[A-Z]{3,4}\b", told)) == set(COMMANDS)


def test_feat(client: Client) -> None:
    lines = client.ask("FEAT").splitlines()
    assert lines[0].startswith("211-") and lines[-1].startswith("211 ")
    assert lines[1:-1] == [
        " EPRT", " EPSV", " MDTM", " MLST type*;size*;modify*;perm*;unique*;", " REST STREAM",
        " SIZE", " TVFS", " UTF8",
    ]  # fmt: skip


def test_opts(client: Client) -> None:
    assert client.code("OPTS UTF8 ON") == 200
    assert client.code("OPTS UTF8 OFF") == 501
    assert client.code("OPTS XYZ") == 501
    assert client.ask("OPTS MLST size;Type;nonsense;") == "200 MLST OPTS type;size;"
    assert " MLST type*;size*;modify;perm;unique;" in client.ask("FEAT")
    assert client.ask("MLST firmware_1.0.1.bin").splitlines()[1] == (
        " type=file;size=10240; /firmware_1.0.1.bin"
    )
    assert client.ask("OPTS MLST") == "200 MLST OPTS"


def test_folders(client: Client) -> None:
    assert client.ask("PWD") == '257 "/"'
    assert client.code("CWD 1.0.1/sd") == 250
    assert client.ask("XPWD") == '257 "/1.0.1/sd"'
    assert client.code('XCWD /lopy4/a "quoted" one/') == 250
    assert client.ask("PWD") == '257 "/lopy4/a ""quoted"" one"'
    assert client.code("CDUP") == 250
    assert client.code("XCUP") == 250
    assert client.ask("PWD") == '257 "/"'
    assert client.code("CWD ../lopy4") == 250
    assert client.ask("PWD") == '257 "/lopy4"'
    assert client.code("CWD /") == 250
    assert client.code("CDUP") == 250
    assert client.ask("PWD") == '257 "/"'


@pytest.mark.parametrize(
    "path",
    ["nowhere", "firmware_1.0.1.bin", ".hidden", "1.0.1/.git", "../../etc", "manifest.json",
     "1.0.1/sd/link", "firmware_1.0.1.bin/"],
)  # fmt: skip
def test_folders_that_are_none(client: Client, path: str) -> None:
    assert client.code(f"CWD {path}") == 550
    assert client.ask("PWD") == '257 "/"'


@pytest.mark.parametrize("argument", ["A", "I", "A N", "a", "L 8"])
def test_types(client: Client, argument: str) -> None:
    assert client.code(f"TYPE {argument}") == 200


@pytest.mark.parametrize("command", ["TYPE E", "TYPE L 7", "MODE B", "MODE Z", "STRU R"])
def test_parameters_that_are_not_there(client: Client, command: str) -> None:
    assert client.code(command) == 504


def test_mode_and_structure(client: Client) -> None:
    assert client.code("MODE S") == 200
    assert client.code("STRU F") == 200


def test_size_and_time(client: Client, site: Site) -> None:
    assert client.ask("SIZE firmware_1.0.1.bin") == "213 10240"
    assert client.code("SIZE 1.0.1") == 550
    assert client.code("SIZE nothing") == 550
    assert re.fullmatch(r"213 \d{14}", client.ask("MDTM firmware_1.0.1.bin"))
    assert re.fullmatch(r"213 \d{14}", client.ask("MDTM 1.0.1"))
    assert re.fullmatch(r"213 \d{14}", client.ask("MDTM manifest.json"))
    assert client.code("MDTM nothing") == 550


def test_the_time_of_a_manifest_is_that_of_the_newest_file_in_it(
    client: Client, site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(root / "1.0.1/flash/main.py", (4_000_000_000, 4_000_000_000))
    site.scan()
    # It isn't looked for each time: a release may have a hundred thousand files.
    monkeypatch.delattr(FilesByDevicePath, "__iter__")
    assert client.ask("MDTM manifest.json") == "213 20961002070640"


def test_stat(client: Client) -> None:
    assert client.ask("STAT").startswith("211-")
    lines = client.ask("STAT 1.0.1").splitlines()
    assert lines[0].startswith("212-") and lines[-1].startswith("212 ")
    assert [line.split()[-1] for line in lines[1:-1]] == ["flash", "sd"]
    assert client.ask("STAT firmware_1.0.1.bin").startswith("213-")
    assert client.code("STAT nothing") == 550


def test_retr(client: Client) -> None:
    assert client.fetch("RETR 1.0.1/flash/main.py") == b"print(2)\n"
    assert client.fetch("RETR /1.0.1/sd/empty") == b""
    assert client.fetch(f"RETR 1.0.1/sd/{NAMES}") == b"unicode\n"
    assert client.fetch("RETR lopy4/q?a=b") == b"question\n"
    client.code("CWD 1.0.1/flash")
    assert client.fetch("RETR ../../firmware_1.0.1.bin") == FIRMWARE


def test_every_type_leaves_files_as_they_are(client: Client) -> None:
    for kind in ("A", "I", "L 8"):
        client.code(f"TYPE {kind}")
        assert client.ask("SIZE 1.0.1/flash/lib/x.py") == "213 13"
        assert client.fetch("RETR 1.0.1/flash/lib/x.py") == b"x = 1\r\ny = 2\n"


def test_retr_over_a_connection_that_the_server_makes(client: Client, site: Site) -> None:
    for command in ("PORT 192,0,2,7,200,10", "EPRT |1|192.0.2.7|51210|"):
        assert client.code(command) == 200
        assert client.code("RETR firmware_1.0.1.bin") == 150
        address, from_host, _, _ = site.network.connecting[-1]
        assert address == ("192.0.2.7", 51210)
        assert from_host == SERVER
        assert len(site.network.accept().take()) == 10240
        assert client.replies() == ["226 Sent."]


def test_the_command_may_come_before_the_connection(client: Client, site: Site) -> None:
    client.code("EPSV")
    assert client.code("RETR 1.0.1/flash/main.py") == 150
    assert site.network.ports[-1].take_client().take() == b"print(2)\n"
    assert client.replies() == ["226 Sent."]


def test_rest(client: Client) -> None:
    for offset in (0, 1, 10239, 10240):
        assert client.code(f"REST {offset}") == 350
        assert client.fetch("RETR firmware_1.0.1.bin") == (FIRMWARE)[offset:]
    assert len(client.fetch("RETR firmware_1.0.1.bin")) == 10240, "REST is for one transfer"


def test_the_size_is_told_as_clients_parse_it(client: Client) -> None:
    """With REST as well, it is that of the whole: wget and lftp take it for that."""
    for offset in (0, 10_000):
        client.code(f"REST {offset}")
        data = client.open()
        assert parse150(client.ask("RETR firmware_1.0.1.bin")) == 10_240
        assert len(data.take()) == 10_240 - offset
        client.replies()
        data = client.open()
        size = parse150(client.ask("NLST"))
        assert len(data.take()) == size
        client.replies()


def test_rest_beyond_the_end(client: Client, site: Site) -> None:
    data = client.open()
    client.code("REST 10241")
    assert client.code("RETR firmware_1.0.1.bin") == 554
    assert not data.connected


@pytest.mark.parametrize("offset", ["-1", "x", "1 2", "9" * 19, "1.5"])
def test_rest_with_no_offset(client: Client, offset: str) -> None:
    assert client.code(f"REST {offset}") == 501


def test_rest_works_on_manifests(client: Client) -> None:
    whole = client.fetch("RETR manifest.json")
    client.code("REST 10")
    assert client.fetch("RETR manifest.json") == whole[10:]


def test_list(client: Client) -> None:
    listing = client.fetch("LIST").decode()
    assert listing.endswith("\r\n")
    lines = listing.splitlines()
    assert [line.split()[-1] for line in lines] == [
        "1.0.0", "1.0.1", "lopy4", "manifest.json", "firmware_1.0.1.bin",
    ]  # fmt: skip
    assert lines[0].startswith("dr-xr-xr-x ")
    assert lines[-1].startswith("-r--r--r-- ")
    assert lines[-1].split()[4] == "10240"


class TestPatterns:
    @pytest.mark.parametrize(
        ("argument", "names"),
        [
            ("*.bin", "firmware_1.0.1.bin"),
            ("firmware_1.0.?.bin", "firmware_1.0.1.bin"),
            ("-l *.bin", "firmware_1.0.1.bin"),
            ("/*.bin", "/firmware_1.0.1.bin"),
            ("1.0.[01]", "1.0.0 1.0.1"),
            ("1.0.[!0]", "1.0.1"),
            ("manifest.*", "manifest.json"),
            ("1.0.1/flash/*.py", "1.0.1/flash/main.py"),
            ("lopy4/../*4", "lopy4/../lopy4"),
            ("*", "1.0.0 1.0.1 lopy4 manifest.json firmware_1.0.1.bin"),
            ("*.BIN", ""),
            ("*.git*", ""),
            ("[", ""),
            ("[z-a]*", ""),
            (r"\*", ""),
        ],
    )
    def test_names(self, client: Client, argument: str, names: str) -> None:
        assert client.fetch(f"NLST {argument}").decode().split() == names.split()

    def test_lines(self, client: Client) -> None:
        lines = client.fetch("LIST").decode().splitlines()
        assert client.fetch("LIST *").decode().splitlines() == lines
        assert client.fetch("LIST -l f*.bin").decode().splitlines() == lines[-1:]
        facts = client.fetch("MLSD").decode().splitlines()
        assert client.fetch("MLSD f*.bin").decode().splitlines() == facts[-1:]
        assert client.ask("STAT f*.bin").splitlines()[1:-1] == [f" {lines[-1]}"]
        assert client.ask("STAT x*").splitlines() == [
            "212-The listing is:", "212 End of the listing.",
        ]  # fmt: skip

    def test_a_name_that_looks_like_a_pattern_wins(
        self, client: Client, site: Site, root: Path
    ) -> None:
        for name in ("[ab]", "a", "b", "a*"):
            (root / "1.0.1/sd" / name).write_bytes(b"")
        site.scan()
        client.code("CWD 1.0.1/sd")
        assert client.fetch("NLST [ab]") == b"[ab]\r\n"
        assert client.fetch("NLST a*") == b"a*\r\n"
        assert client.fetch("NLST [ab][*]").split() == [b"a*"]
        assert client.fetch("NLST [[]ab]") == b"[ab]\r\n"
        assert client.fetch("RETR a*") == b""

    @pytest.mark.parametrize(
        "command",
        ["NLST 1.0.*/flash", "NLST nothing/*", "NLST firmware_1.0.1.bin/*", "LIST */",
         "RETR *.bin", "CWD 1.0.?", "SIZE *.bin"],
    )  # fmt: skip
    def test_what_takes_none(self, client: Client, command: str) -> None:
        client.open()
        assert client.code(command) == 550

    def test_long_patterns(self, client: Client) -> None:
        assert client.fetch(f"NLST {'*a' * 127}*") == b""
        client.open()
        assert client.code(f"NLST {'*' * 256}") == 501

    def test_the_manifest_is_made_only_if_it_is_listed(self, client: Client, site: Site) -> None:
        site.worker.is_held = True
        assert client.fetch("NLST *.bin") == b"firmware_1.0.1.bin\r\n"


@pytest.mark.parametrize("command", ["LIST -la", "LIST -a .", "LIST -l -a /", "LIST ."])
def test_list_as_if_it_were_ls(client: Client, command: str) -> None:
    assert client.fetch(command) == client.fetch("LIST")


def test_list_of_a_file(client: Client) -> None:
    lines = client.fetch("LIST firmware_1.0.1.bin").decode().splitlines()
    assert len(lines) == 1 and lines[0].endswith(" firmware_1.0.1.bin")


def test_nlst_gives_names_that_can_be_asked_for(client: Client) -> None:
    assert client.fetch("NLST") == (
        b"1.0.0\r\n1.0.1\r\nlopy4\r\nmanifest.json\r\nfirmware_1.0.1.bin\r\n"
    )
    names = client.fetch("NLST 1.0.1/sd").decode().split("\r\n")[:-1]
    assert f"1.0.1/sd/{NAMES}" in names
    assert client.fetch("NLST 1.0.1/sd/empty") == b"1.0.1/sd/empty\r\n"
    assert client.fetch(f"RETR {names[-1]}")


def test_nlst_of_nothing_is_a_transfer_too(client: Client, root: Path, site: Site) -> None:
    (root / "1.0.1/flash/none").mkdir()
    site.scan()
    assert client.fetch("NLST 1.0.1/flash/none") == b""


def test_mlsd_and_mlst(client: Client, site: Site) -> None:
    lines = client.fetch("MLSD 1.0.1/sd").decode().split("\r\n")[:-1]
    entries = {}
    for line in lines:
        facts, _, name = line.partition(" ")
        entries[name] = dict(fact.split("=") for fact in facts.split(";")[:-1])
    assert entries[NAMES]["size"] == "8"
    assert entries[NAMES]["type"] == "file"
    assert entries["a folder"]["type"] == "dir"
    assert "link" not in entries
    assert len({entry["unique"] for entry in entries.values()}) == len(entries)
    told = client.ask("MLST 1.0.1/sd/empty").splitlines()
    assert told[0].startswith("250-") and told[-1].startswith("250 ")
    facts, _, path = told[1][1:].partition(" ")
    assert path == "/1.0.1/sd/empty"
    assert dict(fact.split("=") for fact in facts.split(";")[:-1]) == entries["empty"]
    assert client.ask("MLST").splitlines()[1].endswith(" /")


def test_mlsd_of_a_file(client: Client, site: Site) -> None:
    data = client.open()
    assert client.code("MLSD firmware_1.0.1.bin") == 501
    assert not data.connected


@pytest.mark.parametrize("command", ["RETR", "LIST", "NLST", "MLSD"])
@pytest.mark.parametrize("path", ["nothing", ".hidden", "1.0.1/.git/config", "1.0.1/sd/link"])
def test_a_transfer_that_fails_leaves_nothing_open(
    client: Client, site: Site, command: str, path: str
) -> None:
    client.code("EPSV")
    assert client.ask(f"{command} {path}") == "550 There is nothing at this address."
    assert site.network.open_ports == []
    data = client.open()
    assert client.code(f"{command} {path}") == 550
    assert not data.connected


def test_retr_of_a_folder(client: Client, site: Site) -> None:
    client.open()
    assert client.ask("RETR 1.0.1") == "550 That is a folder."


def test_no_data_connection_was_asked_for(client: Client) -> None:
    assert client.code("RETR firmware_1.0.1.bin") == 425
    assert client.code("LIST") == 425


def test_manifest(client: Client, site: Site) -> None:
    manifest = json.loads(client.fetch("RETR manifest.json?current_ver=1.0.0"))
    assert manifest["previous_version"] == "1.0.0"
    assert manifest["firmware"]["URL"] == f"ftp://{SERVER}:2121/firmware_1.0.1.bin"
    product = json.loads(client.fetch("RETR lopy4/manifest.json"))
    assert product["new"][0]["URL"] == f"ftp://{SERVER}:2121/lopy4/2.0.0/flash/main.py"
    client.code("CWD lopy4")
    assert json.loads(client.fetch("RETR manifest.json")) == product
    assert json.loads(client.fetch("RETR manifest.json?current_ver=2.0.0")) is None


@pytest.mark.parametrize("query", ["", "?current_ver=1.0.0", "?current_ver=9", "?device=a/b"])
def test_the_size_of_a_manifest_is_right(client: Client, query: str) -> None:
    size = int(client.ask(f"SIZE manifest.json{query}").split()[1])
    assert size == len(client.fetch(f"RETR manifest.json{query}"))


def test_the_size_of_a_manifest_in_listings_is_right(client: Client) -> None:
    size = len(client.fetch("RETR manifest.json"))
    line = next(line for line in client.fetch("LIST").splitlines() if line.endswith(b".json"))
    assert int(line.split()[4]) == size
    facts = next(line for line in client.fetch("MLSD").splitlines() if line.endswith(b".json"))
    assert b";size=%d;" % size in facts
    assert f";size={size};" in client.ask("MLST manifest.json")


@pytest.mark.parametrize(
    ("host", "port", "public_host", "authority"),
    [
        ("198.51.100.1", 21, "", "198.51.100.1"),
        ("198.51.100.1", 2121, "", "198.51.100.1:2121"),
        ("2001:db8::1", 21, "", "[2001:db8::1]"),
        ("2001:db8::1", 2121, "", "[2001:db8::1]:2121"),
        ("::ffff:198.51.100.1", 2121, "", "198.51.100.1:2121"),
        ("198.51.100.1", 2121, "203.0.113.9", "203.0.113.9:2121"),
        ("198.51.100.1", 21, "2001:db8::9", "[2001:db8::9]"),
    ],
)
def test_where_manifests_point(
    site: Site, host: str, port: int, public_host: str, authority: str
) -> None:
    site.change(public_host=public_host)
    client = site.log_in(host=host, port=port)
    manifest = json.loads(client.fetch("RETR manifest.json"))
    assert manifest["firmware"]["URL"] == f"ftp://{authority}/firmware_1.0.1.bin"


@pytest.mark.parametrize("query", ["current_ver=1&current_ver=2", "current_ver=%zz", "x" * 2100])
def test_a_wrong_question_gets_the_sentence_that_http_gives(site: Site, query: str) -> None:
    site.change(max_command_bytes=8192)
    client = site.log_in()
    client.open()
    with pytest.raises(Exception) as told:
        parse_update_request(query.encode())
    assert client.ask(f"RETR manifest.json?{query}") == f"550 {told.value}"


def test_before_the_tree_was_read(site: Site, client: Client) -> None:
    site.catalogue = None
    told = "450 The release tree is still being read for the first time."
    assert client.ask("CWD 1.0.1") == told
    for command in ("RETR manifest.json", "LIST", "NLST *"):
        client.open()
        assert client.ask(command) == told


def test_a_file_that_vanished(site: Site, client: Client, root: Path) -> None:
    (root / "firmware_1.0.1.bin").unlink()
    client.open()
    assert client.ask("RETR firmware_1.0.1.bin") == "550 The file was removed."


def test_a_file_that_is_another_now(site: Site, client: Client, root: Path) -> None:
    (root / "firmware_1.0.1.bin").write_bytes(b"other")
    client.open()
    assert client.ask("RETR firmware_1.0.1.bin") == "450 The file is being changed; try again."


def test_a_disk_that_is_gone_for_a_moment(
    site: Site, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("otaserver.disk.open_files.open_stamped", fail)
    client.open()
    assert client.code("RETR firmware_1.0.1.bin") == 450


def test_a_file_that_ends_early(site: Site, client: Client, root: Path) -> None:
    data = client.open()
    assert client.code("RETR firmware_1.0.1.bin") == 150
    (root / "firmware_1.0.1.bin").write_bytes(b"")
    data.take()
    assert client.replies() == ["451 The file changed while it was being sent."]
    assert data.is_aborted


def test_a_folder_that_vanished(site: Site, client: Client, root: Path) -> None:
    client.code("CWD 1.0.1/sd")
    assert site.catalogue is not None
    site.catalogue = type(site.catalogue)(site.catalogue.root.folders["lopy4"])
    client.open()
    assert client.code("LIST") == 550


def test_names_with_line_ends_do_not_exist(site: Site, client: Client, root: Path) -> None:
    (root / "1.0.1/sd/a\nb").write_bytes(b"x")
    (root / "1.0.1/sd/a\rb").write_bytes(b"x")
    site.scan()
    for command in ("LIST", "NLST", "MLSD"):
        assert b"\nb" not in client.fetch(f"{command} 1.0.1/sd").replace(b"\r\n", b"")
    client.open()
    assert client.code("RETR 1.0.1/sd/a\r\0b") == 550


def test_big_listings_are_not_made_on_the_reactor(site: Site, client: Client, root: Path) -> None:
    for number in range(501):
        (root / f"1.0.1/sd/{number}").write_bytes(b"")
    site.scan()
    site.worker.is_held = True
    data = client.open()
    assert client.ask("NLST 1.0.1/sd") == ""
    assert site.log_in().code("NOOP") == 200
    site.worker.work()
    assert client.replies()[0].startswith("150")
    assert len(data.take().splitlines()) == 501 + 3


def test_one_line_in_the_log_for_each_transfer(site: Site, client: Client) -> None:
    client.fetch("RETR firmware_1.0.1.bin")
    client.code("CWD 1.0.1")
    client.fetch("NLST flash")
    client.open()
    client.ask('RETR no"th\x01ing')
    stamp = "[21/Sep/2026:14:13:20 +0000]"
    assert site.log == [
        f'192.0.2.7 - - {stamp} "RETR /firmware_1.0.1.bin FTP" 226 10240 "-" "-"',
        f'192.0.2.7 - - {stamp} "NLST /1.0.1/flash FTP" 226 26 "-" "-"',
        f'192.0.2.7 - - {stamp} "RETR /1.0.1/no\\"th\\x01ing FTP" 550 0 "-" "-"',
    ]


class Observer:
    """Takes note of who asked what."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str]] = []

    def checked_in(self, request: ManifestRequest, peer_host: str) -> None:
        self.seen.append((request.update.device, peer_host))


def test_only_a_manifest_that_is_fetched_is_a_check_in(root: Path) -> None:
    observer = Observer()
    site = Site(root, observers=(observer,))
    client = site.log_in()
    client.ask("SIZE manifest.json?device=a")
    client.fetch("LIST")
    client.fetch("MLSD")
    client.ask("MLST manifest.json")
    assert observer.seen == []
    client.fetch("RETR manifest.json?device=a")
    client.fetch("RETR manifest.json?device=b")
    assert observer.seen == [("a", "192.0.2.7"), ("b", "192.0.2.7")]
    site.close()


def test_a_transfer_that_breaks_is_logged_with_what_was_sent(
    site: Site, client: Client, root: Path
) -> None:
    (root / "firmware_1.0.1.bin").write_bytes(bytes(3 << 20))
    site.scan()
    data = client.open()
    client.ask("RETR firmware_1.0.1.bin")
    data.take(2)
    data.end()
    assert site.events[-1].status == 426
    assert 0 < site.events[-1].body_bytes < 3 << 20
