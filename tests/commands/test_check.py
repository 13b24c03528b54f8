"""What ``otaserver check`` says of a tree, and with which status it exits."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from otaserver.catalogue import scan
from otaserver.commands.group import otaserver
from tests.support.trees import SMALL_TREE, write_tree

REASON = "has a control character in its name"


def check(root: Path, *options: str) -> Result:
    result = CliRunner().invoke(otaserver, ["check", str(root), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def as_json(root: Path) -> Any:
    return json.loads(check(root, "--json").stdout)


def test_what_is_offered_and_that_nothing_is_wrong(small_tree: Path) -> None:
    result = check(small_tree)
    assert result.stdout == (
        "/\n"
        "    release 1.0.1 (3 files, 18 bytes) for devices below 1.0.1 or without a version\n"
        "    firmware 1.0.1 (9 bytes) for devices below 1.0.1 or without a version\n"
        "\n"
        "Nothing is wrong.\n"
    )
    assert result.exit_code == 0


def test_devices_that_get_something_else_or_nothing(root: Path) -> None:
    write_tree(
        root,
        {
            "0.7/flash/x": b"",
            "0.8/flash/x": b"",
            "0.9/flash/lib": b"",
            "1.1/flash/lib/a.py": b"1",
            "1.1/flash/x/y": b"",
            "1.2/main.py": b"",
            "1.3/main.py": b"",
        },
    )
    assert check(root).stdout.startswith(
        "/\n"
        "    release 1.1 (2 files, 1 byte) for devices below 1.1 or without a version\n"
        "        release 0.9 for devices on 0.7 or 0.8, which can't take it\n"
        "        no release for devices on 0.9, which can't take it\n"
        "        no release for devices on 1.2 or 1.3, which is not offered\n"
        "\n"
    )


def test_every_product_is_there(root: Path) -> None:
    write_tree(root, {"beta/2.0/flash/a": b"", "lopy4/firmware_1.0.bin": b"", "docs/a": b""})
    lines = check(root).stdout.splitlines()
    assert [line for line in lines if line.startswith("/")] == ["/beta", "/docs", "/lopy4"]
    assert lines[lines.index("/docs") + 1] == "    nothing is offered"


def test_what_is_wrong_comes_gravest_first_with_what_to_do(small_tree: Path) -> None:
    (small_tree / "a link").symlink_to("/etc/passwd")
    write_tree(small_tree, {"1.0.2/main.py": b""})
    result = check(small_tree)
    assert result.stdout.partition("without a version\n\n")[2] == (
        "Not offered, or not to all devices:\n"
        "    1.0.2/main.py is outside flash/ and sd/, so 1.0.2 is not offered.\n"
        "        Move it there, or out of the release.\n"
        "\n"
        "Left out, which may not be intended:\n"
        "    a link is a link to something that is not served, and is left out.\n"
        "        Copy what it leads to.\n"
        "\n"
    )
    assert result.exit_code == 1


def test_what_is_only_left_out_is_no_failure(small_tree: Path) -> None:
    (small_tree / "link").symlink_to("/etc/passwd")
    assert check(small_tree).exit_code == 0


def test_an_upload_that_goes_on_is_said_and_not_waited_for(small_tree: Path) -> None:
    write_tree(small_tree, {"1.0.2/flash/main.py.filepart": b""})
    result = check(small_tree)
    assert "1.0.2/flash/main.py.filepart is an unfinished upload" in result.stdout
    assert result.stdout.endswith("check again later.\n")
    assert result.exit_code == 1
    assert as_json(small_tree)["unsettled"] is True


def test_json_has_keys_that_programs_can_rely_on(small_tree: Path) -> None:
    write_tree(small_tree, {"1.0.2/main.py": b"", "0.9/flash/lib": b"", "p/1.0/flash/x": b"12"})
    report = as_json(small_tree)
    assert report["products"] == [
        {
            "path": "",
            "release": {"version": "1.0.1", "files": 3, "bytes": 18},
            "firmware": {"version": "1.0.1", "bytes": 9},
            "detours": {"0.9": "1.0.0"},
            "releases_above": ["1.0.2"],
            "firmwares_above": [],
        },
        {
            "path": "p",
            "release": {"version": "1.0", "files": 1, "bytes": 2},
            "firmware": None,
            "detours": {},
            "releases_above": [],
            "firmwares_above": [],
        },
    ]
    assert report["problems"][1] == {
        "weight": "not_offered",
        "path": "1.0.2/main.py",
        "what": "is outside flash/ and sd/, so 1.0.2 is not offered",
        "remedy": "move it there, or out of the release",
    }
    assert report["unsettled"] is False
    assert check(small_tree, "--json").exit_code == 1


def test_json_has_the_same_keys_if_there_is_nothing(root: Path) -> None:
    report = as_json(root)
    assert report.keys() == {"products", "problems", "unsettled"}
    (product,) = report["products"]
    assert (product["release"], product["detours"]) == (None, {})


def test_other_roots(root: Path) -> None:
    write_tree(root, {"1.0/app/main.py": b"", "1.0/data/x": b""})
    assert check(root).exit_code == 1
    assert check(root, "--roots", "app,data").exit_code == 0


def test_what_is_no_list_of_roots_is_said_in_a_sentence(root: Path) -> None:
    result = check(root, "--roots", "a/b")
    assert (
        result.stderr
        == "otaserver: --roots 'a/b' is not a list of different names such as flash,sd\n"
    )
    assert result.exit_code == 2


def test_a_tree_that_can_not_be_read_is_said_in_a_sentence(root: Path) -> None:
    for tree, why in (
        (root / "none", "No such file or directory"),
        (write_tree(root, {"file": b""}) / "file", "Not a directory"),
    ):
        result = check(tree)
        assert result.stderr == (
            f"otaserver: can't read the release tree {tree}: {why}; "
            "name its folder, as in `otaserver check releases`\n"
        )
        assert (result.stdout, result.exit_code) == ("", 2)


def test_an_empty_name_does_not_stand_for_the_working_directory() -> None:
    result = CliRunner().invoke(otaserver, ["check", ""])
    assert result.stderr == (
        "otaserver: the release tree has an empty name; "
        "name its folder, as in `otaserver check releases`\n"
    )
    assert (result.stdout, result.exit_code) == ("", 2)


def test_the_tree_is_releases_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "release tree releases: No such" in CliRunner().invoke(otaserver, ["check"]).stderr
    write_tree(tmp_path / "releases", SMALL_TREE)
    assert CliRunner().invoke(otaserver, ["check"]).exit_code == 0


def test_names_can_not_control_the_terminal(root: Path) -> None:
    write_tree(root, {"\x1b[2J/1.0/flash/a\x1b[31m": b"", "1.0\x07/flash/a": b""})
    (root / "\x1b]0;x").symlink_to("/etc/passwd")
    output = check(root).stdout
    assert all(line.isprintable() for line in output.splitlines())
    assert REASON in output


def test_nothing_is_written_and_nothing_hashed(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a file was hashed")

    monkeypatch.setattr(scan, "hash_file", refuse)
    before = sorted(small_tree.rglob("*"))
    assert check(small_tree).exit_code == 0
    assert sorted(small_tree.rglob("*")) == before


def test_a_file_that_can_not_be_opened_is_said_though_none_is_read(
    small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: Any, *options: Any, **more: Any) -> int:
        if str(path).endswith("same.py"):
            raise PermissionError(13, "Permission denied")
        return real(path, *options, **more)

    monkeypatch.setattr(os, "open", refuse)
    result = check(small_tree)
    assert "1.0.1/flash/same.py can't be read: Permission denied" in result.stdout
    assert "1.0.1 can't be read completely, and is not offered." in result.stdout
    assert result.exit_code == 1
