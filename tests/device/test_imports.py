"""What a device loads: the transport that it uses, and nothing of an update before one comes."""

import subprocess
from pathlib import Path

import pytest

from tests.support.device import LIBRARY, interpreter_command

pytestmark = pytest.mark.real

PARTS = {"ota_manifest", "ota_json", "ota_draft", "ota_rules", "ota_store", "ota_fetch"}
CODE = """
import sys
sys.path.insert(0, {!r})
import OTA
from ota_linux import LinuxBoard
loaded = set(sys.modules)
board = LinuxBoard({!r}, None)
OTA.{}("network", "secret", "192.168.1.10", 8000, board=board)
print(" ".join(name for name in loaded if name.startswith("ota_")))
print(" ".join(name for name in sys.modules if name.startswith("ota_")))
"""


@pytest.mark.parametrize("used, unused", [("WiFiOTA", "ota_ftp"), ("FTPOTA", "ota_http")])
def test_only_the_transport_in_use_is_loaded(
    used: str, unused: str, interpreter: str, tmp_path: Path
) -> None:
    code = CODE.format(str(LIBRARY), str(tmp_path), used)
    command = [*interpreter_command(interpreter), "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    after_import, with_transport = (set(line.split()) for line in done.stdout.splitlines())
    assert not after_import & {"ota_http", "ota_ftp", "ota_socket"}
    assert unused not in with_transport
    assert "ota_socket" in with_transport
    assert not with_transport & PARTS
