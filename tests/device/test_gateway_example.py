"""The example that anyone can run: two devices on Linux against the sample server."""

import subprocess

from tests.device.conftest import real_server
from tests.support.device import LIBRARY, interpreter_command
from tests.support.micropython import PROJECT

EXAMPLE = LIBRARY / "examples" / "linux_gateway.py"


def test_gateway(tmp_path, interpreter):
    with real_server(PROJECT / "releases", tmp_path / "state") as ports:
        done = subprocess.run(
            [
                *interpreter_command(interpreter),
                str(EXAMPLE),
                "127.0.0.1",
                *map(str, ports.values()),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    over_http, over_ftp = done.stdout.split("1.0.0 to 1.0.1 over FTP")
    assert over_http.rstrip().endswith("now at ('1.0.1', '1.0.1') in slot1")
    assert "now at ('1.0.1', '1.0.1') in slot1" in over_ftp
    assert over_ftp.rstrip().endswith("now at ('1.0.0', None) in slot0")
    assert (tmp_path / "gateway/http/flash/lib/average.py").exists()
    assert (tmp_path / "gateway/ftp/flash/lib/adc.py").exists()
