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
from tests.support.trees import write_tree

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
        ("--ftp-passive-ports", "5-4"),
        ("--ftp-public-address", "here"),
        ("--public-url", "here"),
        ("--access-log", "/nowhere/at/all"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_option(
    root: Path, option: str, value: str
) -> None:
    with pytest.raises(CannotStart) as caught:
        parsed(root, option, value)
    said = str(caught.value.code)
    assert said.startswith("otaserver: ") and "\n" not in said
    assert option in said or "access log" in said
    assert value in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nothing", "1"], "option --nothing not recognized; see twistd otaserver --help"),
        (["--settle"], "option --settle requires argument; see twistd otaserver --help"),
        (["--legacy=1"], "option --legacy must not have an argument; see twistd otaserver --help"),
        (["more"], "Wrong number of arguments.; see twistd otaserver --help"),
    ],
)
def test_what_is_no_option_is_one_line_too(root: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(CannotStart) as caught:
        parsed(root, *arguments)
    assert str(caught.value) == said.replace(".;", ";")


@pytest.mark.parametrize("state", ["state", "a/b", ".", "link/state"])
def test_a_state_folder_inside_the_tree_is_refused(root: Path, tmp_path: Path, state: str) -> None:
    (root / "link").symlink_to(root)
    with pytest.raises(CannotStart, match=r"is inside the release tree .* choose a folder"):
        parsed(root, "--state", str(root / state))


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("tcp:99999", "can't listen at --http 'tcp:99999': port must be 0-65535."),
        ("tcp:x", "--http 'tcp:x' is not a valid endpoint"),
        ("tcp:0:interface=no such", "can't listen at --http 'tcp:0:interface=no such': "),
        ("tls:18020", "write tls:FOLDER:18020"),
    ],
)
def test_a_wrong_endpoint_names_its_option(root: Path, endpoint: str, said: str) -> None:
    options = parsed(root, "--http", endpoint, "--ftp", "")
    with pytest.raises(CannotStart) as caught:
        makeService(options)
    assert said in str(caught.value)


@pytest.mark.real
def test_a_taken_port_names_its_option(root: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        options = parsed(root, "--ftp", f"tcp:{port}:interface={LOOPBACK}", "--http", "")
        with pytest.raises(CannotStart) as caught:
            makeService(options)
    assert str(caught.value) == (
        f"can't listen at --ftp 'tcp:{port}:interface={LOOPBACK}': Address already in use; "
        "choose another with --ftp"
    )


def test_tls_without_its_packages_says_what_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otaserver.startup.find_spec", lambda name: None)
    with pytest.raises(CannotStart, match=r"pip install 'otaserver\[tls\]'"):
        makeService(parsed(root, "--http", "tls:folder:8443", "--ftp", ""))


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
def test_the_roots_that_are_given_are_those_of_the_server(root: Path, tmp_path: Path) -> None:
    write_tree(root, {"1.0/app/main.py": b"", "1.1/flash/main.py": b""})
    with running_server(root, tmp_path / "state", "--roots", "app") as server:
        assert any("/ offers release 1.0," in line for line in server.log)


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


@pytest.mark.real
@pytest.mark.parametrize("daemon", [False, True])
def test_a_second_server_on_the_same_state_is_refused(
    small_tree: Path, tmp_path: Path, daemon: bool
) -> None:
    with running_server(small_tree, tmp_path / "state"):
        run = started(tmp_path, "--root", str(small_tree), *HTTP, daemon=daemon)
    state = tmp_path / "state"
    assert run.returncode != 0
    assert run.stderr == (
        f"otaserver: another server uses the state folder {state}: choose another with --state\n"
    )


@pytest.mark.real
def test_the_state_of_a_server_that_was_killed_is_free(small_tree: Path, tmp_path: Path) -> None:
    with running_server(small_tree, tmp_path / "state") as server:
        server.process.kill()
        server.process.wait()
        with running_server(small_tree, tmp_path / "state"):
            pass


@pytest.mark.real
def test_sighup_has_the_tree_read_at_once_and_the_log_reopened(
    small_tree: Path, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    options = ("--poll", "1000", "--access-log", str(log))
    with running_server(small_tree, tmp_path / "state", *options) as server:
        write_tree(small_tree, {"1.0.2/flash/main.py": b"print(3)\n"})
        log.rename(tmp_path / "access.log.1")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any("offers release 1.0.2" in line for line in server.log))
        wait_until(log.exists)
        assert server.process.poll() is None


@pytest.mark.real
def test_sigterm_twice_is_as_good_as_once(small_tree: Path, tmp_path: Path) -> None:
    with running_server(small_tree, tmp_path / "state") as server:
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        # Twisted ends itself with the signal that stopped it.
        assert server.process.wait(timeout=10) == -signal.SIGTERM
    assert not any("Traceback" in line or "Unhandled" in line for line in server.log)
