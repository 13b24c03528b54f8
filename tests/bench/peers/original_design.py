"""The design that this server succeeds: walk both versions and hash at every request."""

import hashlib
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from packaging.version import Version


def files_below(folder: Path) -> set[str]:
    return {
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
    }


def entry(root: Path, version: str, path: str) -> dict[str, str]:
    content = (root / version / path).read_bytes()
    return {
        "URL": f"http://127.0.0.1/{version}/{path}",
        "dst_path": path,
        "hash": hashlib.sha1(content).hexdigest(),
    }


def manifest(root: Path, current: str) -> bytes:
    latest = max((p.name for p in root.iterdir() if p.is_dir()), key=Version)
    old, new = files_below(root / current), files_below(root / latest)
    changed = [
        path
        for path in sorted(old & new)
        if (root / current / path).read_bytes() != (root / latest / path).read_bytes()
    ]
    image = (root / f"firmware_{latest}.bin").read_bytes()
    return json.dumps(
        {
            "delete": sorted(old - new),
            "new": [entry(root, latest, path) for path in sorted(new - old)],
            "update": [entry(root, latest, path) for path in changed],
            "firmware": {"hash": hashlib.sha1(image).hexdigest()},
            "version": latest,
        }
    ).encode()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave together, or each request would wait for an acknowledgement.
    wbufsize = -1

    def do_GET(self) -> None:
        body = manifest(Path(sys.argv[2]), "1.0.0")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Answering).serve_forever()
