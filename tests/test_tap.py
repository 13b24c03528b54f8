"""The options, the plugin, and how a server that can't start says so."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

from otaserver.options import Options
from otaserver.startup import CannotStart
from otaserver.tap import makeService
from tests.catalogue.test_scan import unprivileged
from tests.support.process import LOOPBACK, environment, running_server, twistd, wait_until

HTTP = ["--http", f"tcp:0:interface={LOOPBACK}"]
FTP = ["--ftp", f"tcp:0:interface={LOOPBACK}"]


def parsed(root: Path, *arguments: str) -> Options:
    options = Options()
    options.parseOptions(["--root", str(root), *arguments])
    return options


def started(
    folder: Path, *options: str, daemon: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Start a server that should not come up, and wait for its end."""
    before = ["--pidfile", str(folder / "twistd.pid"), "--logfile", str(folder / "twistd.log")]
    command = [twistd(), *([] if daemon else ["--nodaemon"]), *before, "otaserver"]
    command += ["--state", str(folder / "state"), *FTP, *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, cwd=folder, env=environment()
    )


def test_the_plugin_is_listed() -> None:
    assert "otaserver" in {plugin.tapname for plugin in getPlugins(IServiceMaker)}


@pytest.mark.real
def test_the_help_explains_every_option(tmp_path: Path) -> None:
    run = started(tmp_path, "--help")
    assert run.returncode == 0
    parameters: Any = Options.optParameters
    for name in [row[0] for row in parameters] + ["legacy", "no-access-log"]:
        assert f"--{name}" in run.stdout
    assert "release" in run.stdout


def test_the_defaults(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    root.rename(root.with_name("releases"))
    options = Options()
    options.parseOptions([])
    assert options["root"] == str(root.with_name("releases"))
    assert options["http"] == "tcp:8000"
    assert options["settle"] == 2
    assert options["roots"] == ("flash", "sd")
    assert not options["legacy"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--settle", "-1"),
        ("--settle", "nan"),
        ("--settle", "inf"),
        ("--settle", "x"),
        ("--poll", "0"),
        ("--max-connections", "-1"),
        ("--max-connections", "1.5"),
        ("--cache-size", "-1"),
        ("--stall-timeout", "-0.1"),
        ("--nothing", "1"),
    ],
)
def test_a_wrong_value_is_a_usage_error(root: Path, option: str, value: str) -> None:
    from twisted.python.usage import UsageError

    with pytest.raises(UsageError):
        parsed(root, option, value)


@pytest.mark.parametrize(
    ("text", "roots"),
    [("flash,sd", ("flash", "sd")), ("app", ("app",)), ("a-1,B_2,c", ("a-1", "B_2", "c"))],
)
def test_roots(root: Path, text: str, roots: tuple[str, ...]) -> None:
    assert parsed(root, "--roots", text)["roots"] == roots


@pytest.mark.parametrize(
    "text", ["", ",", "flash,", "flash,,sd", "a/b", ".", "..", ".git", "a b", "flash, sd", "a,A"]
)
def test_roots_that_are_none_are_refused(root: Path, text: str) -> None:
    with pytest.raises(CannotStart) as caught:
        parsed(root, "--roots", text)
    assert str(caught.value) == (
        f"--roots {text!r} is not a list of different names such as flash,sd"
    )


@pytest.mark.parametrize(
    "url",
    [
        *("x", "ftp://h", "http://", "http://h/?x", "//h", "http://[bad", "http://a#x"),
        *("http://a b", "http://a/\nX: y", "https://h:99999", "http://user@h"),
    ],
)
def test_a_public_url_that_is_none_is_refused(root: Path, url: str) -> None:
    with pytest.raises(CannotStart):
        parsed(root, "--public-url", url)


@pytest.mark.parametrize("url", ["http://h", "https://h:8443/a/b%20c", "http://[::1]:80"])
def test_a_public_url_is_taken(root: Path, url: str) -> None:
    assert parsed(root, "--public-url", url)["public-url"] == url


def test_a_public_url_loses_its_last_slash(root: Path) -> None:
    assert parsed(root, "--public-url", "https://h/x/")["public-url"] == "https://h/x"


@pytest.mark.parametrize(
    "endpoint",
    [
        "nonsense",
        "foo:1",
        "tcp:x",
        "tcp:",
        "tcp",
        ":",
        "ssl:0:privateKey=/nothing.pem",
        "systemd:x",
    ],
)
def test_an_endpoint_that_is_none_is_refused(root: Path, endpoint: str) -> None:
    with pytest.raises(CannotStart, match="--http"):
        makeService(parsed(root, "--http", endpoint))


def test_a_key_that_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("not a key")
    with pytest.raises(CannotStart, match="--http"):
        makeService(parsed(root, "--http", f"ssl:0:privateKey={tmp_path / 'bad.pem'}"))


@pytest.mark.real
@pytest.mark.parametrize(
    ("reason", "daemon"),
    [
        ("root missing", False),
        ("root missing", True),
        ("root a file", False),
        ("bad endpoint", False),
        ("nothing to serve", False),
        ("port taken", False),
        ("port taken", True),
        ("port too high", False),
        ("no such address", False),
        ("access log not writable", False),
        ("state not writable", False),
        ("state not writable", True),
    ],
)
def test_a_server_that_can_not_start_says_why_in_one_line(
    small_tree: Path, tmp_path: Path, reason: str, daemon: bool
) -> None:
    run_in = tmp_path / "run"
    run_in.mkdir()
    (tmp_path / "file").write_text("")
    not_there = str(tmp_path / "file" / "x")
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        tree = ["--root", str(small_tree)]
        options = {
            "root missing": ["--root", str(tmp_path / "nothing"), *HTTP],
            "root a file": ["--root", str(tmp_path / "file"), *HTTP],
            "bad endpoint": [*tree, "--http", "nonsense:1"],
            "nothing to serve": [*tree, "--http", "", "--ftp", ""],
            "port taken": [*tree, "--http", f"tcp:{port}:interface={LOOPBACK}"],
            "port too high": [*tree, "--http", "tcp:99999"],
            "no such address": [*tree, "--http", "tcp:0:interface=no such"],
            "access log not writable": [
                *tree,
                *HTTP,
                "--access-log",
                str(tmp_path / "file" / "x"),
            ],
            "state not writable": [*tree, *HTTP, "--state", not_there],
        }[reason]
        run = started(run_in, *options, daemon=daemon)
    assert run.returncode != 0
    lines = run.stderr.strip().splitlines()
    if daemon and lines[0].startswith("An error has occurred: "):
        # twistd's own words around the first hundred bytes of what the daemon said.
        assert lines.pop() == "Please look at log file for more information."
        assert "otaserver.startup.CannotStart: " in lines[0]
    else:
        assert lines[0].startswith("otaserver: ")
    assert len(lines) == 1, run.stderr
    assert "Traceback" not in run.stdout
    # twistd's daemon reports why it ends before it removes the file.
    wait_until(lambda: not (run_in / "twistd.pid").exists())


def test_a_root_that_can_not_be_read_is_said_in_one_line(root: Path, tmp_path: Path) -> None:
    root.chmod(0)
    with unprivileged(tmp_path), pytest.raises(CannotStart, match="Permission denied"):
        parsed(root)


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")
def test_a_root_that_only_root_can_read_is_found_out_after_that(
    small_tree: Path, tmp_path: Path
) -> None:
    small_tree.chmod(0o700)
    dropped = ["--uid", "65534", "--gid", "65534"]
    command = [twistd(), *dropped, "--nodaemon", "--pidfile=", "otaserver"]
    run = subprocess.run(
        [*command, "--root", str(small_tree), *HTTP],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=30,
    )
    assert run.returncode != 0
    assert "otaserver: can't read the release tree" in run.stderr


@pytest.mark.real
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_a_daemon_serves_until_it_is_told_to_stop(small_tree: Path, tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    run = started(
        tmp_path, "--root", str(small_tree), "--http", f"tcp:{port}:interface={LOOPBACK}",
        "--settle", "0", daemon=True,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        url = f"http://{LOOPBACK}:{port}/manifest.json"
        curl = [
            "curl",
            "-sS",
            "--retry",
            "20",
            "--retry-delay",
            "0",
            "--retry-max-time",
            "10",
            url,
        ]
        asked = subprocess.run(curl, capture_output=True, text=True)
        assert '"version": "1.0.1"' in asked.stdout
    finally:
        os.kill(pid, signal.SIGTERM)
        try:
            wait_until(lambda: not Path(f"/proc/{pid}").exists())
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
            raise
    assert not (tmp_path / "twistd.pid").exists()


@pytest.mark.real
def test_a_large_file_does_not_keep_a_server_from_stopping(root: Path, tmp_path: Path) -> None:
    with running_server(root, tmp_path / "state") as server:
        with (root / "firmware_1.0.bin").open("wb") as file:
            file.truncate(20 << 30)
        time.sleep(0.7)
        started_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(5)
        assert time.monotonic() - started_s < 3
