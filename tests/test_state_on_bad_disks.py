"""The server runs without its state if the disk is full, read-only or damaged at the start."""

import os
import urllib.request
from pathlib import Path

import pytest

from otaserver.startup import CannotStart, check_state, lock_state
from tests.catalogue.test_scan import unprivileged
from tests.support.mounts import mounted
from tests.support.process import Server, running_server

pytestmark = pytest.mark.real


def offers(server: Server) -> bool:
    with urllib.request.urlopen(f"{server.http_url}/manifest.json", timeout=10) as answer:
        return b'"version": "1.0.1"' in answer.read()


def warnings_of(server: Server) -> list[str]:
    return [line for line in server.log if "can't be used" in line]


def fill(folder: Path) -> None:
    with (folder / "rest").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


@pytest.mark.parametrize("has_state", [False, True])
def test_a_full_disk(small_tree: Path, tmp_path: Path, has_state: bool) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "tmpfs", "size=400k"):
        if has_state:
            with running_server(small_tree, disk / "state"):
                pass
        fill(disk)
        with running_server(small_tree, disk / "state") as server:
            assert offers(server)
            assert len(warnings_of(server)) == 2


@pytest.mark.parametrize("has_state", [False, True])
def test_a_read_only_disk(small_tree: Path, tmp_path: Path, has_state: bool) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "tmpfs", "size=400k"):
        if has_state:
            with running_server(small_tree, disk / "state"):
                pass
        os.system(f"mount -o remount,ro {disk}")
        with running_server(small_tree, disk / "state") as server:
            assert offers(server)
            assert len(warnings_of(server)) == 2


def test_a_state_that_is_damaged(small_tree: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_server(small_tree, state):
        pass
    for path in state.glob("*.sqlite3"):
        path.write_bytes(b"\xa5" * 5000)
    with running_server(small_tree, state) as server:
        assert offers(server)
        assert sum("is begun anew" in line for line in server.log) == 2


def test_a_folder_that_is_the_wrong_user_s_is_still_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o555)
    with unprivileged(tmp_path), pytest.raises(CannotStart, match="Permission denied"):
        lock_state(tmp_path / "state")


def test_a_link_that_leads_nowhere_is_still_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(CannotStart, match="is not a folder"):
        check_state(tmp_path / "link" / "state")
