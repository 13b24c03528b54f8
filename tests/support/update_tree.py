"""Release trees in memory, and the manifest from one to the next, for tests without a server."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tests.support.esp_image import esp_image

RECOVERY = "flash/lib/ota_recovery.py"

OLD = {
    "flash/boot.py": b"import ota_boot\nota_boot.run()\n",
    "flash/main.py": b"print('old')\n",
    "flash/lib/same.py": b"SAME = 1\n",
    "flash/lib/gone.py": b"GONE = 1\n",
    "flash/empties/only.txt": b"the only one here\n",
    "sd/data.bin": bytes(range(256)) * 20,
}
NEW = {
    "flash/boot.py": b"import ota_boot\nota_boot.run()  # new\n",
    "flash/main.py": b"print('new')\n" * 200,
    "flash/lib/same.py": b"SAME = 1\n",
    "flash/lib/added.py": b"ADDED = 1\n",
    "flash/fresh/deep/leaf.py": b"LEAF = 1\n",
    "flash/empty.txt": b"",
    "flash/with space & caf\u00e9.txt".replace("\u00e9", "e"): b"odd name\n",
    "sd/data.bin": bytes(range(255, -1, -1)) * 30,
}
FIRMWARE = esp_image("1.0.1", hashlib.shake_256(b"firmware").digest(20_000))


def content_entry(url: str, content: bytes) -> dict[str, Any]:
    return {
        "URL": url,
        "hash": hashlib.sha1(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


def manifest(
    old: Mapping[str, bytes],
    new: Mapping[str, bytes],
    firmware: bytes | None = None,
    version: str = "1.0.1",
    base: str = "1.0.0",
) -> dict[str, Any]:
    """Return the manifest that leads from ``old`` to ``new``, as the server would write it."""
    entries = {
        path: content_entry(f"http://ignored:1/{version}/{quoted(path)}", content)
        | {"dst_path": path}
        for path, content in new.items()
        if old.get(path) != content
    }
    made: dict[str, Any] = {
        "delete": sorted(old.keys() - new.keys()),
        "new": [entries[path] for path in sorted(entries) if path not in old],
        "update": [entries[path] for path in sorted(entries) if path in old],
        "previous_version": base,
        "version": version,
    }
    if firmware is not None:
        made["firmware"] = content_entry(f"http://h/firmware_{version}.bin", firmware)
        made["firmware"]["version"] = version
    return made


def quoted(path: str) -> str:
    return path.replace("%", "%25").replace(" ", "%20").replace("&", "%26")


def contents(
    made: Mapping[str, Any],
    new: Mapping[str, bytes],
    firmware: bytes | None = None,
    version: str = "1.0.1",
) -> dict[str, bytes]:
    """Return what a server has to serve for a manifest: path → bytes."""
    served = {f"/{version}/{quoted(path)}": content for path, content in new.items()}
    served["/manifest.json"] = json.dumps(made, sort_keys=True).encode()
    if firmware is not None:
        served[f"/firmware_{version}.bin"] = firmware
    return served
