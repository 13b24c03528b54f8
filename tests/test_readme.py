"""What the README shows is what happens."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_ports
from tests.support.process import PROJECT, environment, running_server, twistd, wait_until

pytestmark = pytest.mark.real

README = (PROJECT / "README.md").read_text()


def test_the_transcript_is_what_the_sample_server_answers(tmp_path: Path) -> None:
    match = re.search(r"    \$ curl -s 'http://127.0.0.1:8000(\S+)' .*\| head -(\d+)\n", README)
    assert match is not None
    path, lines = match[1], int(match[2])
    shown = [line[4:] for line in README[match.end() :].split("\n")[:lines]]
    with running_server(PROJECT / "releases", tmp_path / "state") as server:
        answer = subprocess.run(
            ["curl", "-sf", server.http_url + path], capture_output=True, check=True
        ).stdout.replace(server.http_url.encode(), b"http://127.0.0.1:8000")
    assert shown == json.dumps(json.loads(answer), indent=4).split("\n")[:lines]


def test_the_check_of_a_tree_says_what_it_says_here(tmp_path: Path) -> None:
    match = re.search(
        r"((?:    \$ .*\n)+)    \$ otaserver (check) /tmp/tree\n((?:    .*\n|\n(?=    ))+)", README
    )
    assert match is not None
    tree = str(tmp_path / "tree")
    prepare = match[1].replace("    $ ", "").replace("/tmp/tree", tree)
    subprocess.run(["sh", "-ec", prepare], cwd=PROJECT, check=True)
    done = subprocess.run(
        [sys.executable, "-c", "from otaserver.cli import main; main()", match[2], tree],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    shown = "".join(line.removeprefix("    ") for line in match[3].splitlines(keepends=True))
    assert done.stdout.rstrip() == shown.rstrip()


def test_every_option_is_explained() -> None:
    printed = subprocess.run([twistd(), "otaserver", "--help"], capture_output=True, text=True)
    options = set(re.findall(r"(--[a-z-]+)=?", printed.stdout)) - {"--help", "--version"}
    explained = set(re.findall(r"`(--[a-z-]+)`", README))
    assert options - explained == set()


def test_the_commands_for_tls_work_as_they_stand(tmp_path: Path) -> None:
    section = README.partition("\n## TLS\n")[2].partition("\n## ")[0]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block is not None
    (port,) = free_ports(1)
    joined = block[1].replace("\\\n", " ").replace("8443", str(port))
    make_certificate, serve, ask = [
        shlex.split(line.removeprefix("$ ")) for line in joined.splitlines()
    ]
    subprocess.run(make_certificate, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "releases").symlink_to(PROJECT / "releases")
    command = [twistd(), *serve[1:], "--ftp", "", "--settle", "0"]
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, text=True
    )
    try:
        wait_until(lambda: '"version"' in curl(ask, tmp_path))
    finally:
        server.terminate()
        server.wait(timeout=10)


def curl(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
