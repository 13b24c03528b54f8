"""What devices and people meet, the same over HTTP and FTP."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from tests.scenarios.conftest import FIRMWARE, NAME, TREE
from tests.scenarios.transport import OverFTP, OverHTTP, Refused, Transport
from tests.support.process import Server, running_server, wait_until
from tests.support.trees import write_tree

pytestmark = pytest.mark.real

NOTHING = "There is nothing at this address."


def manifest(transport: Transport, query: str = "", folder: str = "") -> Any:
    return json.loads(transport.get(f"{folder}manifest.json".encode(), query=query))


def paths(items: list[dict[str, Any]]) -> list[str]:
    return [item["dst_path"] for item in items]


class TestManifests:
    def test_an_update(self, transport: Transport) -> None:
        got = manifest(transport, "?current_ver=1.0.0")
        assert got["version"] == "1.0.1"
        assert got["previous_version"] == "1.0.0"
        assert got["delete"] == ["flash/old.py"]
        assert paths(got["update"]) == ["flash/main.py"]
        assert "flash/lib/new.py" in paths(got["new"])
        assert "flash/same.py" not in paths(got["new"])
        assert got["firmware"]["version"] == "1.0.1"

    def test_what_it_names_can_be_fetched(self, transport: Transport) -> None:
        got = manifest(transport, "?current_ver=1.0.0")
        for item in [*got["new"], *got["update"], got["firmware"]]:
            assert item["URL"].startswith(f"{transport.authority}/")
            path = item["URL"].removeprefix(transport.authority).encode()
            assert len(transport.get(unquote_to_bytes(path))) == item["size"]

    def test_nothing_to_do(self, transport: Transport) -> None:
        assert manifest(transport, "?current_ver=1.0.1") is None

    def test_a_device_that_is_ahead(self, transport: Transport) -> None:
        assert manifest(transport, "?current_ver=9.9.9") is None

    def test_a_device_that_has_nothing(self, transport: Transport) -> None:
        got = manifest(transport)
        assert got["previous_version"] is None
        assert got["update"] == got["delete"] == []
        assert len(got["new"]) == 7

    @pytest.mark.parametrize("query", ["", "?current_ver=1.0.0"])
    def test_a_release_whose_name_is_no_version_has_none(
        self, transport: Transport, query: str
    ) -> None:
        """Told ``null``, its devices would believe that they are current."""
        with pytest.raises(Refused, match=NOTHING):
            manifest(transport, query, "latest/")
        assert transport.names(b"latest") == ["flash"]
        assert transport.get(b"latest/flash/main.py") == TREE["latest/flash/main.py"]

    @pytest.mark.parametrize("version", ["0.9", "0.9-weird", "abc", "1.0.0%2Blocal"])
    def test_unknown_versions(self, transport: Transport, version: str) -> None:
        got = manifest(transport, f"?current_ver={version}")
        assert got["version"] == "1.0.1"
        assert got["delete"] == [] and len(got["new"]) == 7

    def test_another_content_of_the_newest_version(self, transport: Transport) -> None:
        whole = manifest(transport)
        assert manifest(transport, f"?current_ver=1.0.1&release={whole['release']}") is None
        got = manifest(transport, f"?current_ver=1.0.1&release={'0' * 64}")
        assert (got["version"], got["previous_version"]) == ("1.0.1", "1.0.1")
        assert paths(got["new"] + got["update"]) == paths(whole["new"])
        assert got["release"] == whole["release"]

    def test_firmware_apart_from_files(self, transport: Transport) -> None:
        got = manifest(transport, "?current_ver=1.0.0&firmware_ver=1.0.1")
        assert got["version"] == "1.0.1" and "firmware" not in got
        got = manifest(transport, "?current_ver=1.0.1&firmware_ver=1.0.0")
        assert got["new"] == [] and got["firmware"]["version"] == "1.0.1"

    def test_products(self, transport: Transport) -> None:
        got = manifest(transport, "?current_ver=1.0.0", "lopy4/")
        assert got["version"] == "2.0.0"
        assert got["new"][0]["URL"] == f"{transport.authority}/lopy4/2.0.0/flash/main.py"

    def test_a_tree_in_which_nothing_is_a_version(self, transport: Transport) -> None:
        assert manifest(transport, "?current_ver=1.0.0", "texts/") is None
        assert sorted(transport.names(b"texts")) == [
            "a?b#c%d",
            "back\\slash",
            "manifest.json",
            "readme.txt",
        ]

    def test_weird_versions_have_their_place(self, transport: Transport) -> None:
        assert manifest(transport, "", "weird/")["version"] == "2banana"
        assert manifest(transport, "?current_ver=v2", "weird/")["version"] == "2banana"
        assert manifest(transport, "?current_ver=2.0.1", "weird/") is None

    @pytest.mark.parametrize(
        ("query", "why"),
        [
            ("?current_ver=1&current_ver=2", "The query field current_ver is repeated."),
            ("?current_ver=%ff", "The query field current_ver is not UTF-8."),
            ("?device=%00", "The query field device has an unprintable character."),
            (f"?device={'x' * 300}", "The query field device is longer than 255 characters."),
            (f"?{'x' * 2100}", "The query is longer than 2048 bytes."),
        ],
    )
    def test_wrong_questions(self, transport: Transport, query: str, why: str) -> None:
        with pytest.raises(Refused) as refused:
            transport.get(b"manifest.json", query=query)
        assert refused.value.sentence == why

    def test_there_is_none_inside_a_release(self, transport: Transport) -> None:
        with pytest.raises(Refused, match=NOTHING):
            transport.get(b"1.0.1/manifest.json")

    @pytest.mark.parametrize("query", ["", "?current_ver=1.0.0", "?current_ver=1.0.1"])
    def test_its_size_is_told(self, transport: Transport, query: str) -> None:
        told = transport.size(b"manifest.json", query)
        assert told == len(transport.get(b"manifest.json", query=query))

    @pytest.mark.parametrize("query", ["", "?current_ver=1.0.0", "?current_ver=0.1"])
    @pytest.mark.parametrize("folder", [b"", b"lopy4/"])
    def test_they_differ_in_nothing_but_scheme_and_port(
        self, server: Server, query: str, folder: bytes
    ) -> None:
        over_http, over_ftp = OverHTTP(server), OverFTP(server)
        by_http = over_http.get(folder + b"manifest.json", query=query).decode()
        by_ftp = over_ftp.get(folder + b"manifest.json", query=query).decode()
        assert by_ftp == by_http.replace(over_http.authority, over_ftp.authority)


class TestFiles:
    @pytest.mark.parametrize("path", [path for path in TREE if "/." not in f"/{path}"])
    def test_every_one(self, transport: Transport, path: str) -> None:
        assert transport.get(path.encode()) == TREE[path]
        assert transport.size(path.encode()) == len(TREE[path])

    @pytest.mark.parametrize("offset", [1, 1_000, len(FIRMWARE) - 1, len(FIRMWARE)])
    def test_resuming(self, transport: Transport, offset: int) -> None:
        assert transport.get(b"firmware_1.0.1.bin", offset) == FIRMWARE[offset:]

    def test_beyond_the_end(self, server: Server) -> None:
        with pytest.raises(Refused):
            OverHTTP(server).get(b"firmware_1.0.1.bin", len(FIRMWARE) + 1)

    def test_listings(self, transport: Transport) -> None:
        assert set(transport.names(b"")) == {
            "1.0.0", "1.0.1", "latest", "lopy4", "texts", "weird", "manifest.json",
            "firmware_1.0.0.bin", "firmware_1.0.1.bin",
        }  # fmt: skip
        assert set(transport.names(b"1.0.1/sd")) == {NAME, "a#c%d", "[b];{c}"}
        assert transport.names(b"1.0.1/flash/lib") == ["new.py"]


class TestHostilePaths:
    @pytest.mark.parametrize(
        "path",
        [b"nothing", b".secret", b"1.0.1/.git/config", b"1.0.1/flash/.DS_Store", b"1.0.1/sd/link",
         b"1.0.1/sd/folder/file", b"texts/dangling", b"..\\..\\outside\\file",
         b"firmware_1.0.1.bin/", b"firmware_1.0.1.bin/x", b"1.0.1/flash/main.py/..x"],
    )  # fmt: skip
    def test_what_does_not_exist(self, transport: Transport, path: bytes) -> None:
        with pytest.raises(Refused, match=NOTHING):
            transport.get(path)

    @pytest.mark.parametrize(
        "path",
        [b"../outside/file", b"1.0.1/../../outside/file", b"../../../../../etc/passwd",
         b"1.0.1/sd/folder/../../../../outside/file"],
    )  # fmt: skip
    def test_ways_out(self, transport: Transport, path: bytes) -> None:
        with pytest.raises(Refused):
            transport.get(path)

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            (b"1.0.1/\xff\xfe", "The path is not UTF-8."),
            (b"1.0.1/flash/a\x00b", "The path contains a NUL."),
            (b"a" * 4097, "The path is longer than 4096 bytes."),
        ],
    )
    def test_what_is_no_path(self, transport: Transport, path: bytes, why: str) -> None:
        with pytest.raises(Refused) as refused:
            transport.get(path)
        assert refused.value.sentence == why


class TestChanges:
    def test_a_file_that_vanishes(self, transport: Transport, root: Path) -> None:
        folder = write_tree(root / f"gone{type(transport).__name__}", {"a": b"a", "b": b"b"})
        path = f"{folder.name}/a".encode()
        wait_until(lambda: can_get(transport, path))
        (folder / "a").unlink()
        with pytest.raises(Refused) as refused:
            transport.get(path)
        assert refused.value.sentence in ("The file was removed.", NOTHING)
        wait_until(lambda: transport.names(folder.name.encode()) == ["manifest.json", "b"])

    def test_a_file_that_changes(self, transport: Transport, root: Path) -> None:
        folder = write_tree(root / f"changed{type(transport).__name__}", {"a": b"a" * 10})
        path = f"{folder.name}/a".encode()
        wait_until(lambda: can_get(transport, path))
        new = folder / ".new"
        new.write_bytes(b"b" * 20)
        os.replace(new, folder / "a")
        # Either refused, or one whole content: never a mixture.
        wait_until(lambda: can_get(transport, path) and transport.get(path) == b"b" * 20)
        assert transport.size(path) == 20

    def test_a_release_that_comes(self, transport: Transport, root: Path) -> None:
        name = f"new{type(transport).__name__}"
        write_tree(root / name, {"1.0.0/flash/a": b"1"})
        wait_until(lambda: can_get(transport, f"{name}/manifest.json".encode()))
        write_tree(root / name, {"1.0.1/flash/a": b"2"})
        wait_until(lambda: (manifest(transport, "", f"{name}/") or {}).get("version") == "1.0.1")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_folder_without_permission(
        self, transport: Transport, root: Path, server: Server
    ) -> None:
        folder = write_tree(root / f"closed{type(transport).__name__}", {"1.0.0/flash/a": b"1"})
        folder.chmod(0)
        try:
            wait_until(lambda: any(f"{folder.name} can't be read" in line for line in server.log))
            with pytest.raises(Refused, match=NOTHING):
                transport.get(f"{folder.name}/1.0.0/flash/a".encode())
            assert transport.get(b"1.0.1/flash/main.py") == b"print(2)\n"
        finally:
            folder.chmod(0o755)


def can_get(transport: Transport, path: bytes) -> bool:
    try:
        transport.get(path)
    except Refused:
        return False
    return True


def test_legacy_manifests_are_the_same(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"1.0.0/flash/main.py": b"x"})
    with running_server(root, tmp_path / "state", "--legacy") as server:
        over_http, over_ftp = OverHTTP(server), OverFTP(server)
        by_http = over_http.get(b"manifest.json").decode()
        assert json.loads(by_http)["new"][0]["dst_path"] == "/flash/main.py"
        by_ftp = over_ftp.get(b"manifest.json").decode()
        assert by_ftp == by_http.replace(over_http.authority, over_ftp.authority)


def test_the_public_address(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"1.0.0/flash/main.py": b"x"})
    with running_server(
        root, tmp_path / "state", "--ftp-public-address", "127.0.0.3", "--http", ""
    ) as server:
        assert "Site" not in server.ports
        url = json.loads(OverFTP(server).get(b"manifest.json"))["new"][0]["URL"]
        assert url == f"ftp://127.0.0.3:{server.ftp_port}/1.0.0/flash/main.py"


def test_ftp_can_be_switched_off(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"1.0.0/flash/main.py": b"x"})
    with running_server(root, tmp_path / "state", "--ftp", "") as server:
        assert list(server.ports) == ["Site"]
