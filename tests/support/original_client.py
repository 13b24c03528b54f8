"""A client that behaves as the one in the field does, with its limits."""

import hashlib
import json
import re
import socket
from pathlib import Path

READ_BYTES = 100


class OriginalClient:
    """The library that a fleet is to be moved from; ``root`` stands for its file system."""

    def __init__(self, root: Path, port: int):
        self.root = root
        self.port = port

    def update(self) -> bool:
        """Update in place, file by file; False if there is nothing newer."""
        manifest = json.loads(self._get(f"/manifest.json?current_ver={self.version()}"))
        if manifest is None:
            return False
        for entry in manifest["new"] + manifest["update"]:
            self._install(entry)
        for path in manifest["delete"]:
            Path(f"{self.root}/{path}").unlink()
        record = f"VERSION = '{manifest['version']}'\n"
        (self.root / "flash/OTA_VERSION.py").write_text(record)
        return True

    def version(self) -> str:
        record = (self.root / "flash/OTA_VERSION.py").read_text()
        return re.search(r"VERSION = '(.*)'", record)[1]

    def _install(self, entry: dict) -> None:
        path = entry["URL"].split("://", 1)[1]
        content = self._get(path[path.index("/") :])
        assert hashlib.sha1(content).hexdigest() == entry["hash"]
        assert entry["dst_path"].startswith("/"), "taken as an absolute path"
        # It makes no folders: where there is none, this fails.
        Path(f"{self.root}{entry['dst_path']}").write_bytes(content)

    def _get(self, path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as server:
            server.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
            read = server.recv(READ_BYTES)
            while b"\r\n\r\n" not in read:
                assert read, "the headers never end inside one read"
                read = server.recv(READ_BYTES)
            content = read.partition(b"\r\n\r\n")[2].decode("utf-8").encode()
            while read := server.recv(READ_BYTES):
                content += read
        return content
