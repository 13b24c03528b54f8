"""A real server in a process of its own, started by twistd."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO

PROJECT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 30.0

_STARTING = re.compile(r"(?P<factory>\w+)( \(\w+\))? starting on (?P<port>\d+)$")
_FIRST_SCAN = "/ offers "


@dataclass
class Server:
    """What a test has to know of a running server.

    Attributes:
        ports: the port of each listening factory, by the factory's name.
        log: what the server printed so far.
    """

    process: "subprocess.Popen[str]"
    ports: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    @property
    def http_port(self) -> int:
        return self.ports["Site"]

    @property
    def ftp_port(self) -> int:
        return self.ports["FTPFactory"]

    @property
    def http_url(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def ftp_url(self) -> str:
        return f"ftp://{LOOPBACK}:{self.ftp_port}"


def twistd() -> str:
    """The twistd of the environment that runs the tests."""
    return str(Path(sys.executable).with_name("twistd"))


def environment(added: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The environment for a server: its modules come from this checkout."""
    path = os.pathsep.join(filter(None, [added.get("PYTHONPATH"), str(PROJECT)]))
    return {**os.environ, **added, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def wait_until(is_so: Callable[[], object], timeout_s: float = 10) -> None:
    """Wait for what another process or thread is about to bring about."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(0.02)


@contextlib.contextmanager
def running_server(
    root: Path,
    state: Path,
    *options: str,
    added: Mapping[str, str] = MappingProxyType({}),
    ready: str = _FIRST_SCAN,
) -> Iterator[Server]:
    """Run a server on free ports of the loopback address until the block ends.

    Yields as soon as the first scan is done, or `ready` is in the log. Further options may
    override these, such as ``--settle 0``, which serves what was written just now.
    `added` are more variables for its environment.
    """
    endpoint = f"tcp:0:interface={LOOPBACK}"
    command = [twistd(), "--nodaemon", "--pidfile=", "otaserver"]
    command += ["--root", str(root), "--state", str(state)]
    command += ["--http", endpoint, "--ftp", endpoint, "--settle", "0", "--poll", "0.2", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(added),
        cwd=state.parent,
    )
    output = process.stdout
    assert output is not None
    server = Server(process)
    is_ready = threading.Event()
    reading = (server, output, ready, is_ready)
    reader = threading.Thread(target=_read_log, args=reading, daemon=True)
    reader.start()
    try:
        if not is_ready.wait(START_TIMEOUT_S) or process.poll() is not None:
            raise AssertionError("the server did not start:\n" + "".join(server.log))
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        output.close()


def _read_log(server: Server, output: IO[str], ready: str, is_ready: threading.Event) -> None:
    for line in output:
        server.log.append(line)
        starting = _STARTING.search(line.rstrip())
        if starting:
            server.ports[starting["factory"]] = int(starting["port"])
        if ready in line:
            is_ready.set()
    is_ready.set()
