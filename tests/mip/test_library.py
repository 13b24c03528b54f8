from pathlib import Path

import pytest

from otaserver.mip.library import library_folder, needed_at_boot, read_library
from tests.support.process import PROJECT


def test_the_library_of_a_checkout_is_beside_the_package() -> None:
    modules = read_library(library_folder())
    assert modules.keys() == {path.name for path in (PROJECT / "device").glob("*.py")}


def test_a_folder_without_the_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "OTA.py").write_text("")
    with pytest.raises(OSError, match=f"there is no device library in {tmp_path}"):
        read_library(tmp_path)


def test_what_runs_at_boot_is_found_however_it_is_imported() -> None:
    modules = {
        "ota_boot.py": b"def run():\n    return __import__('ota_recovery').recover()\n",
        "ota_recovery.py": b"import os, ota_files\n\ndef undo():\n    from ota_undo import undo\n",
        "ota_files.py": b"import ota_recovery\n",
        "ota_undo.py": b"",
        "OTA.py": b"import ota_recovery\n",
    }
    at_boot = {"ota_boot.py", "ota_recovery.py", "ota_files.py", "ota_undo.py"}
    assert needed_at_boot(modules) == at_boot


def test_at_boot_the_library_loads_its_recovery_and_not_its_transports() -> None:
    at_boot = needed_at_boot(read_library(library_folder()))
    assert {"ota_boot.py", "ota_recovery.py"} <= at_boot
    assert not at_boot & {"OTA.py", "ota_http.py", "ota_ftp.py", "ota_socket.py"}
