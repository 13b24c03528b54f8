"""A client that behaves as the one in the field does, with its limits.

Written after Pycom's example, ``examples/OTA`` of pycom-libraries: what it leaves on the
device, what it looks at and what it doesn't is the same.
"""

import contextlib
import hashlib
import json
import re
import socket
from pathlib import Path
from typing import Any

READ_BYTES = 100
ATTEMPTS = 5
RECORD = "flash/OTA_VERSION.py"
SLOTS = ("Factory", "ota_0")


class OriginalClient:
    """The library that a fleet is to be moved from; ``root`` stands for its file system.

    Beside ``flash`` lies the rest of the chip, as a simulated board has it.
    """

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.port = port

    def update(self) -> bool:
        """Update in place, file by file; False if there is nothing newer."""
        manifest = json.loads(self._get(f"manifest.json?current_ver={self.version()}"))
        if manifest is None:
            return False
        incoming = manifest["new"] + manifest["update"]
        for entry in incoming:
            self._download(entry)
        for entry in manifest["update"]:
            self._move(entry["dst_path"], entry["dst_path"] + ".bak")
        for entry in incoming:
            self._move(entry["dst_path"] + ".new", entry["dst_path"])
        for path in manifest["delete"]:
            self._move(f"/{path}", f"/{path}.bak_del")
        if "firmware" in manifest:
            self._flash(self._get(manifest["firmware"]["URL"].split("/", 3)[-1]))
        with contextlib.suppress(OSError):
            self._move(f"/{RECORD}", f"/{RECORD}.bak")
        (self.root / RECORD).write_text(f"VERSION = '{manifest['version']}'")
        return True

    def version(self) -> str:
        """Return what the record says; without one it is the first release."""
        with contextlib.suppress(OSError):
            record = re.fullmatch(r"VERSION = '(.*)'\s*", (self.root / RECORD).read_text())
            assert record, "not a version record"
            return record[1]
        return "1.0.0"

    def _path(self, path: str) -> Path:
        assert path.startswith("/"), "it takes a path as absolute"
        return Path(f"{self.root}{path}")

    def _move(self, source: str, target: str) -> None:
        self._path(source).replace(self._path(target))

    def _download(self, entry: dict[str, Any]) -> None:
        for left in reversed(range(ATTEMPTS)):
            try:
                # It makes no folders: where there is none, this fails.
                with self._path(entry["dst_path"] + ".new").open("wb") as target:
                    content = self._get(entry["URL"].split("/", 3)[-1])
                    target.write(content)
                assert hashlib.sha1(content).hexdigest() == entry["hash"]
                return
            except OSError:
                if not left:
                    raise

    def _flash(self, image: bytes) -> None:
        """Write the other slot and switch to it, as ota_write and ota_finish do."""
        running = (self.root / "boot").read_text().split()[0]
        other = SLOTS[1 - SLOTS.index(running)]
        (self.root / other).write_bytes(image)
        (self.root / "boot").write_text(f"{other} {running} check")

    def _get(self, path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as server:
            server.sendall(f"GET /{path} HTTP/1.0\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
            read = server.recv(READ_BYTES)
            while b"\r\n\r\n" not in read:
                assert read, "the headers never end inside one read"
                read = server.recv(READ_BYTES)
            # What comes behind them in this read goes through text, which not all bytes survive.
            content = read.partition(b"\r\n\r\n")[2].decode("utf-8").encode()
            while read := server.recv(READ_BYTES):
                content += read
        return content
