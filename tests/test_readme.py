"""What the README shows is what happens."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import PROJECT, running_server, twistd

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
