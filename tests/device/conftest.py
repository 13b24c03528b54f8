"""Fixtures for the device library's tests."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, overload

import pytest

from tests.support.device import Device
from tests.support.process import running_server
from tests.support.raw_servers import (
    Fault,
    RawFTPServer,
    RawHTTPServer,
    RawServer,
    honest,
    url_path,
)

TRANSPORTS = ("http", "ftp")
INTERPRETERS = ("cpython", "micropython")


@pytest.fixture(params=INTERPRETERS)
def interpreter(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def device(tmp_path: Path, interpreter: str, transport: str) -> Device:
    """A device that has nothing on it yet, and no server."""
    folder = tmp_path / "device"
    folder.mkdir()
    return Device(folder, interpreter, transport, 0)


@overload
def raw_server(
    transport: Literal["http"], served: Mapping[str, bytes], *, fault: Fault = honest
) -> AbstractContextManager[RawHTTPServer]: ...


@overload
def raw_server(
    transport: Literal["ftp"],
    served: Mapping[str, bytes],
    *,
    fault: Fault = honest,
    replies: Mapping[str, str | None] | None = None,
) -> AbstractContextManager[RawFTPServer]: ...


@overload
def raw_server(
    transport: str, served: Mapping[str, bytes], **options: Any
) -> AbstractContextManager[RawServer]: ...


@contextmanager
def raw_server(transport: str, served: Mapping[str, bytes], **options: Any) -> Iterator[Any]:
    """Serve contents, path by path, from a server that a test can tell to misbehave."""
    if transport == "ftp":
        served = {url_path(path): content for path, content in served.items()}
    kinds: dict[str, type[RawServer]] = {"http": RawHTTPServer, "ftp": RawFTPServer}
    with kinds[transport](served, **options) as server:
        yield server


@contextmanager
def real_server(root: Path, state: Path, *options: str) -> Iterator[dict[str, int]]:
    """Serve a release tree from the real server; yields the port of each transport."""
    with running_server(root, state, *options) as server:
        yield {"http": server.http_port, "ftp": server.ftp_port}
