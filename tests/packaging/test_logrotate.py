"""The snippet for logrotate, with a real logrotate and a real server."""

import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.files import PACKAGING, directives
from tests.support.process import Server, running_server, wait_until

SNIPPET = (PACKAGING / "otaserver.logrotate").read_text()


def test_it_agrees_with_the_service() -> None:
    unit = directives("otaserver.service")
    assert f"\n/var/log/{unit['LogsDirectory']}/access.log {{" in SNIPPET
    assert f"su {unit['User']} {unit['User']}\n" in SNIPPET
    assert "systemctl kill --signal=SIGUSR1 otaserver.service" in SNIPPET


@pytest.mark.real
def test_a_rotated_log_is_opened_again(
    small_tree: Path, tmp_path: Path, needs: Callable[[str], None]
) -> None:
    needs("logrotate")
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    log = logs / "access.log"
    with running_server(small_tree, tmp_path / "state", "--access-log", str(log)) as server:
        fetch(server, "/?before")
        wait_until(lambda: "?before" in log.read_text())
        rotate(server, log, tmp_path)
        fetch(server, "/?after")
        wait_until(lambda: log.exists() and "?after" in log.read_text())
    assert "?before" not in log.read_text()
    assert "?before" in (logs / "access.log.1").read_text()


def fetch(server: Server, target: str) -> None:
    with urllib.request.urlopen(server.http_url + target, timeout=20) as answer:
        answer.read()


def rotate(server: Server, log: Path, folder: Path) -> None:
    """Run logrotate with the snippet, for this log and this server."""
    signalling = f"kill -s USR1 {server.process.pid}"
    snippet = SNIPPET.replace("/var/log/otaserver/access.log {", f"{log} {{")
    snippet = snippet.replace("systemctl kill --signal=SIGUSR1 otaserver.service", signalling)
    # Neither the service's user nor its rights are needed for a log of our own.
    snippet = re.sub(r"^ *su .*\n", "", snippet, flags=re.MULTILINE)
    configuration = folder / "logrotate.conf"
    configuration.write_text(snippet)
    configuration.chmod(0o644)
    subprocess.run(
        ["/usr/sbin/logrotate", "--force", "--state", folder / "rotated", configuration],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
