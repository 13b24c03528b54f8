"""The options, the plugin, and how a server that can't start says so."""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.scripts._twistd_unix import ServerOptions

from otaserver.options import Options
from otaserver.startup import CannotStart, lock_state
from otaserver.tap import makeService
from tests.catalogue.test_scan import unprivileged
from tests.support.process import LOOPBACK, environment, running_server, twistd, wait_until
from tests.support.tls import self_signed
from tests.support.trees import write_tree

HTTP = ["--http", f"tcp:0:interface={LOOPBACK}"]
FTP = ["--ftp", f"tcp:0:interface={LOOPBACK}"]


def parsed(root: Path, *arguments: str) -> Options:
    options = Options()
    options.parseOptions(["--root", str(root), *arguments])
    return options


def started(
    folder: Path, *options: str, daemon: bool = False, twistd_options: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """Start a server that should not come up, and wait for its end."""
    before = ["--pidfile", str(folder / "twistd.pid"), "--logfile", str(folder / "twistd.log")]
    before += twistd_options
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
    ("option", "value", "expected"),
    [
        ("--settle", "-1", "a number of seconds, 0 or more"),
        ("--settle", "nan", "a number of seconds, 0 or more"),
        ("--settle", "inf", "a number of seconds, 0 or more"),
        ("--settle", "1e999", "a number of seconds, 0 or more"),
        ("--settle", "abc", "a number of seconds, 0 or more"),
        ("--settle", "", "a number of seconds, 0 or more"),
        ("--poll", "0", "a number of seconds, 0.1 or more"),
        ("--max-connections", "-1", "a whole number, 0 or more"),
        ("--max-connections", "1.5", "a whole number, 0 or more"),
        ("--cache-size", "1k", "a whole number of bytes, 0 or more"),
        ("--ftp-max-command", "63", "a whole number of bytes, 64 or more"),
        ("--stall-timeout", "-0.1", "a number of seconds, 1 or more"),
        ("--min-rate", "1 kB", "a number, 0 or more"),
        ("--ftp-passive-ports", "5-4", "a range of ports such as 30000-30999"),
        ("--ftp-public-address", "here", "an IP address such as 192.0.2.1"),
        ("--public-url", "here", "a URL such as http://ota.example.com"),
        ("--root", "", "a folder"),
        ("--state", "", "a folder"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_option_and_what_was_expected(
    root: Path, option: str, value: str, expected: str
) -> None:
    with pytest.raises(CannotStart) as caught:
        parsed(root, option, value)
    assert caught.value.code == f"otaserver: {option} '{value}' is not {expected}"


def test_a_value_is_quoted_on_one_line_and_cut(root: Path) -> None:
    with pytest.raises(CannotStart) as caught:
        parsed(root, "--settle", "a\nb\udcff" + "x" * 100_000)
    said = str(caught.value)
    assert said.startswith(r"--settle 'a\nb\udcffxxx")
    assert len(said) < 400


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nothing", "1"], "there is no option '--nothing'; see twistd otaserver --help"),
        (
            ["--setle", "1"],
            "there is no option '--setle'; did you mean --settle?; see twistd otaserver --help",
        ),
        (["-x"], "there is no option '-x'; see twistd otaserver --help"),
        (
            ["--settle"],
            "--settle needs a value: how long a release must have been left unchanged "
            "before it is offered",
        ),
        (["-r"], "--root needs a value: the folder to serve: the release tree"),
        (["--legacy=1"], "--legacy takes no value"),
        (["--max", "1"], "--max could be --max-connections or --max-per-address"),
        (["more"], "'more' follows no option; a folder of releases is given as --root FOLDER"),
    ],
)
def test_what_is_no_option_is_one_line_too(root: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(CannotStart) as caught:
        parsed(root, *arguments)
    assert str(caught.value) == said


@pytest.mark.parametrize("state", ["state", "a/b", ".", "link/state", ".otaserver"])
def test_a_state_folder_inside_the_tree_is_refused(root: Path, tmp_path: Path, state: str) -> None:
    (root / "link").symlink_to(root)
    with pytest.raises(CannotStart, match=r"--state: .* is inside the release tree .* choose a p"):
        parsed(root, "--state", str(root / state))


def test_so_is_one_that_is_only_there_once_links_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(root / "state")
    with pytest.raises(CannotStart, match="inside the release tree"):
        parsed(root, "--state", str(tmp_path / "elsewhere"))
    (root / "link").symlink_to(tmp_path)
    parsed(root, "--state", str(root / "link" / "state"))


@pytest.mark.real
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--access-log", "{root}/access.log"),
        ("--http", "ssl:0:privateKey={root}/server.pem"),
        ("--ftp", "tls:{root}:0"),
    ],
)
def test_so_is_what_else_must_not_be_served(root: Path, option: str, value: str) -> None:
    self_signed(root, "subjectAltName=DNS:localhost")
    with pytest.raises(CannotStart, match=rf"{option}: .* is inside the release tree"):
        parsed(root, option, value.format(root=root))


@pytest.mark.parametrize(
    ("before", "is_refused"),
    [
        ([], True),
        (["--logfile", "sub/x.log"], True),
        (["--nodaemon", "--logfile", "x.log"], True),
        (["--nodaemon"], False),
        (["--logfile", "-"], False),
        (["--syslog"], False),
        (["--logfile", "/var/log/x.log"], False),
    ],
)
def test_so_is_twistd_s_own_log(
    root: Path, monkeypatch: pytest.MonkeyPatch, before: list[str], is_refused: bool
) -> None:
    monkeypatch.chdir(root)
    state = str(root.parent / "state")
    command = [*before, "otaserver", "--root", str(root), "--state", state]
    if not is_refused:
        ServerOptions().parseOptions(command)
        return
    with pytest.raises(CannotStart, match=r"twistd's --logfile: the log .* is inside the release"):
        ServerOptions().parseOptions(command)


@pytest.mark.parametrize("endpoint", ["tcp:99999", "nonsense", "tls:18020", "systemd:x"])
@pytest.mark.parametrize("option", ["--http", "--ftp"])
def test_a_wrong_endpoint_names_its_option(root: Path, option: str, endpoint: str) -> None:
    with pytest.raises(CannotStart, match=rf"^{option} '{endpoint}' \w"):
        makeService(parsed(root, "--http", "", "--ftp", "", option, endpoint))


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


# What keeps a server from starting, as options after those of a working one.
FAULTS = {
    "root missing": ["--root", "{folder}/nothing"],
    "root a file": ["--root", "{file}"],
    "wrong value": ["--settle", "abc"],
    "unknown option": ["--nothing"],
    "missing value": ["--settle"],
    "twistd's option": ["--nodaemon"],
    "bad endpoint": ["--http", "nonsense:1"],
    "nothing to serve": ["--http", "", "--ftp", ""],
    "port taken": ["--http", "{taken}"],
    "port taken by itself": ["--http", "{free}", "--ftp", "{free}"],
    "port too high": ["--http", "tcp:99999"],
    "no such address": ["--http", "tcp:0:interface=no such"],
    "no such socket": ["--http", "unix:{folder}/nothing/socket"],
    "access log not writable": ["--access-log", "{file}/x"],
    "access log a folder": ["--access-log", "{folder}"],
    "state not writable": ["--state", "{file}/x"],
    "state a file": ["--state", "{file}"],
    "state in root": ["--state", "{root}/state"],
}


@pytest.mark.real
@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("reason", FAULTS)
def test_a_server_that_can_not_start_says_why_in_one_line(
    small_tree: Path, tmp_path: Path, reason: str, daemon: bool
) -> None:
    run_in = tmp_path / "run"
    run_in.mkdir()
    (tmp_path / "file").write_text("")
    endpoint = f"tcp:{{}}:interface={LOOPBACK}"
    with (
        socket.create_server((LOOPBACK, 0)) as taken,
        socket.create_server((LOOPBACK, 0)) as free,
    ):
        places = {
            "folder": tmp_path,
            "file": tmp_path / "file",
            "root": small_tree,
            "taken": endpoint.format(taken.getsockname()[1]),
            "free": endpoint.format(free.getsockname()[1]),
        }
        options = [text.format_map(places) for text in FAULTS[reason]]
        free.close()
        run = started(run_in, "--root", str(small_tree), *HTTP, *options, daemon=daemon)
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith("otaserver: ")
    option = options[-2] if reason == "port taken by itself" else options[0]
    assert option in line
    # Nothing is left behind, and the log was not even begun.
    assert run.stdout == ""
    assert os.listdir(run_in) == []


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")
@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("closed", ["root", "state", "state/hashes.sqlite3", "access log"])
def test_what_only_root_may_use_is_found_out_before_privileges_are_dropped(
    small_tree: Path, tmp_path: Path, closed: str, daemon: bool
) -> None:
    # pytest keeps its folders from other users.
    for folder in [tmp_path, *tmp_path.parents]:
        if "pytest" in str(folder):
            folder.chmod(0o755)
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    (state / "hashes.sqlite3").touch(0o666)
    (tmp_path / "access.log").touch(0o666)
    for path in (state / "hashes.sqlite3", tmp_path / "access.log"):
        path.chmod(0o666)
    names = {"root": small_tree.name, "access log": "access.log"}
    (tmp_path / names.get(closed, closed)).chmod(0o700)
    options = ["--root", str(small_tree), *HTTP, "--access-log", str(tmp_path / "access.log")]
    twistd_options = ["--uid", "65534"]
    run = started(tmp_path, *options, daemon=daemon, twistd_options=twistd_options)
    assert run.returncode == 1
    assert re.fullmatch(
        rf"otaserver: can't .*--{closed.partition('/')[0].replace(' ', '-')} .*\n", run.stderr
    )
    assert not (tmp_path / "twistd.pid").exists()


def test_a_root_that_can_not_be_read_is_said_in_one_line(root: Path, tmp_path: Path) -> None:
    root.chmod(0)
    with unprivileged(tmp_path), pytest.raises(CannotStart, match="Permission denied"):
        parsed(root)


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
        wait_until(lambda: any("/ offers release 1.0," in line for line in server.log))


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
    state = tmp_path / "state"
    with running_server(small_tree, state) as server:
        run = started(tmp_path, "--root", str(small_tree), *HTTP, daemon=daemon)
    assert run.returncode == 1
    assert run.stderr == (
        f"otaserver: another server (process {server.process.pid}) uses the state folder "
        f"'{state}': choose another with --state\n"
    )


@pytest.mark.real
def test_a_daemon_holds_its_state(small_tree: Path, tmp_path: Path) -> None:
    options = ["--root", str(small_tree), *HTTP]
    run = started(tmp_path, *options, daemon=True)
    assert (run.returncode, run.stderr) == (0, "")
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        (tmp_path / "2").mkdir()
        second = started(tmp_path / "2", *options, "--state", str(tmp_path / "state"))
        assert f"otaserver: another server (process {pid}) uses" in second.stderr
    finally:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_folder_that_can_not_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(CannotStart, match=r"can't lock the folder .*: No locks available"):
        lock_state(tmp_path)


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
def test_sighup_without_a_log_of_its_own_says_what_it_does(
    small_tree: Path, tmp_path: Path
) -> None:
    with running_server(small_tree, tmp_path / "state") as server:
        for _ in range(3):
            server.process.send_signal(signal.SIGHUP)
            # What reopens logs does no harm where none is a file.
            server.process.send_signal(signal.SIGUSR1)
            time.sleep(0.1)
        wait_until(
            lambda: sum("SIGHUP: scanning the release tree\n" in x for x in server.log) == 3
        )
        assert server.process.poll() is None


@pytest.mark.real
@pytest.mark.parametrize("pause_s", [0, 0.02])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asking_twice_to_stop_is_as_good_as_once(
    small_tree: Path, tmp_path: Path, number: signal.Signals, pause_s: float
) -> None:
    with running_server(small_tree, tmp_path / "state") as server:
        for _ in range(3):
            server.process.send_signal(number)
            time.sleep(pause_s)
        # Twisted ends itself with the signal that stopped it.
        assert server.process.wait(timeout=10) == -number
    assert not any("Traceback" in line or "Unhandled" in line for line in server.log)
    assert any("Server Shut Down" in line for line in server.log)
