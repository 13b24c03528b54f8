"""The client in the field, over real sockets, as it behaves down to each read."""

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.esp_image import esp_image
from tests.support.process import LOOPBACK, Server, running_server
from tests.support.trees import write_tree

pytestmark = pytest.mark.real

FILES = {f"flash/f{size}.py": b"#" * size for size in [*range(0, 301, 7), 1, 99, 100, 101, 5000]}
IMAGE = esp_image("1.0.1", bytes(range(128, 256)) * 200)
TREE = {f"1.0.1/{path}": content for path, content in FILES.items()} | {
    "1.0.0/flash/f0.py": b"old",
    "1.0.0/flash/old.py": b"old",
    "firmware_1.0.1.bin": IMAGE,
}


class OriginalClient:
    """Does what the library on the devices does, and nothing more."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str) -> bytes:
        with socket.create_connection((LOOPBACK, self.port), timeout=10) as connection:
            host = f"{LOOPBACK}:{self.port}"
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            while True:
                read = connection.recv(100)
                if not read:
                    raise ValueError("the head has no end inside one read")
                if b"\r\n\r\n" in read:
                    break
            content = read.decode("utf-8").split("\r\n\r\n", 1)[1].encode()
            while read := connection.recv(100):
                content += read
            return content

    def update(self, version: str) -> "tuple[dict[str, bytes], bytes, list[str]] | None":
        """Fetch all that a manifest names: files by absolute path, firmware, and what goes."""
        manifest = json.loads(self.get(f"/manifest.json?current_ver={version}"))
        if manifest is None:
            return None
        files = {}
        for entry in manifest["new"] + manifest["update"]:
            assert entry["dst_path"].startswith("/")
            files[entry["dst_path"]] = self.checked(entry)
        image = self.checked(manifest["firmware"])
        return files, image, ["/" + path for path in manifest["delete"]]

    def checked(self, entry: "dict[str, str]") -> bytes:
        content = self.get(urlsplit(entry["URL"]).path)
        assert hashlib.sha1(content).hexdigest() == entry["hash"]
        return content


@pytest.fixture(scope="module", params=["--legacy", None])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["tuple[Server, bool]"]:
    folder = tmp_path_factory.mktemp("legacy")
    root = write_tree(folder / "tree", TREE)
    options = [request.param] if request.param else []
    with running_server(root, folder / "state", *options) as server:
        yield server, bool(request.param)


def test_the_original_client_updates_hundreds_of_times_with_legacy_and_not_without(
    served: "tuple[Server, bool]",
) -> None:
    server, is_legacy = served
    client = OriginalClient(server.http_port)
    if not is_legacy:
        with pytest.raises((ValueError, AssertionError)):
            for _ in range(20):
                client.update("1.0.0")
        return
    for _ in range(12):
        updated = client.update("1.0.0")
        assert updated is not None
        files, image, gone = updated
        assert files == {f"/{path}": content for path, content in FILES.items()}
        assert image == IMAGE
        assert gone == ["/flash/old.py"]
        assert client.update("1.0.1") is None


def test_the_image_has_bytes_that_are_no_text() -> None:
    with pytest.raises(UnicodeDecodeError):
        IMAGE[:100].decode()


def test_a_new_client_of_a_legacy_server_gets_no_padding(served: "tuple[Server, bool]") -> None:
    server, _ = served
    with socket.create_connection((LOOPBACK, server.http_port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert b"X-Padding" not in connection.recv(4096)


def test_the_port_of_a_test_is_free_again(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"1.0/flash/a": b""})
    with running_server(root, tmp_path / "state") as server:
        port = server.http_port
    with pytest.raises(OSError):
        socket.create_connection((LOOPBACK, port), timeout=1)
