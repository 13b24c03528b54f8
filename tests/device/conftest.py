"""Fixtures for the device library's tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.device import Device
from tests.support.process import running_server
from tests.support.raw_servers import RawFTPServer, RawHTTPServer, url_path

TRANSPORTS = ("http", "ftp")
INTERPRETERS = ("cpython", "micropython")


@pytest.fixture(params=INTERPRETERS)
def interpreter(request) -> str:
    return request.param


@pytest.fixture(params=TRANSPORTS)
def transport(request) -> str:
    return request.param


@pytest.fixture
def device(tmp_path: Path, interpreter: str, transport: str) -> Device:
    """A device that has nothing on it yet, and no server."""
    folder = tmp_path / "device"
    folder.mkdir()
    return Device(folder, interpreter, transport, 0)


@contextmanager
def raw_server(transport: str, served: dict[str, bytes], **options) -> Iterator:
    """Serve contents, path by path, from a server that a test can tell to misbehave."""
    if transport == "ftp":
        served = {url_path(path): content for path, content in served.items()}
    kinds = {"http": RawHTTPServer, "ftp": RawFTPServer}
    with kinds[transport](served, **options) as server:
        yield server


@contextmanager
def real_server(root: Path, state: Path, *options: str) -> Iterator[dict[str, int]]:
    """Serve a release tree from the real server; yields the port of each transport."""
    with running_server(root, state, *options) as server:
        yield {"http": server.http_port, "ftp": server.ftp_port}
