"""The releases of the simulated device, and what a server would say of them (MicroPython)."""

import hashlib
import os

FIRMWARE = b"\xe9" + bytes(23) + b"firmware 1.0.1 " * 4700
# Of the library, what a device with a transport of its own doesn't need.
ELSEWHERE = (
    "ota_answer.py", "ota_chunked.py", "ota_connect.py", "ota_ftp.py", "ota_ftp_setup.py",
    "ota_http.py", "ota_join.py", "ota_linux.py", "ota_odd_answer.py", "ota_redirect.py",
    "ota_roots.py", "ota_socket.py", "ota_transfer.py",
)  # fmt: skip
BOARDS = ("ota_esp32.py", "ota_port_esp32.py", "ota_port_pycom.py", "ota_pycom.py")
BOOT_PY = b"import ota_boot\nota_boot.run()\n"
# main.py of every release; what it starts depends on the scenario.
MAIN_PY = b"import OTA\nstart(OTA.OTA)\n"


def library(folder: str, board: str) -> dict[str, bytes]:
    """Return the library's files as they are on the device."""
    files = {}
    for name in os.listdir(folder):
        if not name.endswith(".py") or name in ELSEWHERE:
            continue
        if name in BOARDS and not name.endswith("_" + board + ".py"):
            continue
        with open(folder + "/" + name, "rb") as source:
            files["flash/lib/" + name] = source.read()
    return files


def full_releases(library: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return an old and a new release that differ in every way that there is."""
    old = {
        "flash/boot.py": BOOT_PY,
        "flash/main.py": MAIN_PY + b"# old\n" * 40,
        "flash/lib/same.py": b"SAME = 1\n",
        "flash/lib/moved.py": b"MOVED = 1\n" * 50,
        "flash/lib/a_module_with_a_long_name.py": b"LONG = 1\n",
        "flash/empties/gone.txt": b"gone\n" * 300,
        "sd/changes.txt": b"old\n" * 200,
        "sd/empties/too/gone.txt": b"gone\n",
    }
    old.update(library)
    new = {
        "flash/boot.py": BOOT_PY + b"# new\n",
        "flash/main.py": MAIN_PY + b"# new\n" * 70,
        "flash/lib/same.py": b"SAME = 1\n",
        "flash/moved/deep/moved.py": b"MOVED = 1\n" * 50,
        "flash/large.bin": b"more than what is flushed at once " * 1100,
        "sd/changes.txt": b"new\n" * 300,
        "sd/added/leaf.txt": b"leaf\n",
    }
    new.update(library)
    for name in ("ota_recovery", "ota_journal", "OTA"):
        new["flash/lib/" + name + ".py"] += b"# new\n"
    return old, new


def moved_releases(
    first: dict[str, bytes], second: dict[str, bytes]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return a release with one edition of the library, and one with the next edition."""
    files = {"flash/boot.py": BOOT_PY, "flash/main.py": MAIN_PY, "sd/changes.txt": b"old\n"}
    old, new = dict(files), dict(files)
    new["flash/boot.py"] += b"# new\n"
    new["sd/changes.txt"] = b"new\n"
    old.update(first)
    new.update(second)
    return old, new


def shrinking_releases(
    library: dict[str, bytes],
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return two of which the old one is larger, and has the same content more than once."""
    new, old = full_releases(library)
    for path in ("flash/lib/copy.py", "flash/copies/another.py", "sd/copy.py"):
        old[path] = b"COPY = 1\n" * 1000
    return old, new


def small_releases(library: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return two that differ little, for what is tried thousands of times.

    The recovery code is a stub that takes the real one from beside it: so that the stub
    can be replaced in a few writes.
    """
    stub = b"from real_recovery import *\n"
    old = {
        "flash/boot.py": BOOT_PY,
        "flash/main.py": MAIN_PY + b"# old\n",
        "flash/lib/empties/gone.txt": b"gone\n",
    }
    old.update(library)
    old["flash/lib/real_recovery.py"] = library["flash/lib/ota_recovery.py"]
    old["flash/lib/ota_recovery.py"] = stub
    new = dict(old)
    del new["flash/lib/empties/gone.txt"]
    new["flash/boot.py"] += b"# new\n"
    new["flash/lib/ota_recovery.py"] += b"# new\n"
    new["flash/folder/added.txt"] = b"added\n"
    return old, new


def record(version: str, firmware_version: str | None) -> bytes:
    text = b"VERSION = '%s'\n" % version.encode()
    if firmware_version:
        text += b"FIRMWARE_VERSION = '%s'\n" % firmware_version.encode()
    return text


def served(
    old: dict[str, bytes],
    new: dict[str, bytes],
    version: str,
    base: str,
    firmware: bytes | None = None,
) -> dict[str, bytes]:
    """Return what a server has for the way from one tree to the other: path → bytes."""
    contents = {"/" + path: data for path, data in new.items()}
    contents["/manifest.json"] = manifest(old, new, version, base, firmware)
    if firmware:
        contents["/firmware"] = firmware
    return contents


def manifest(
    old: dict[str, bytes], new: dict[str, bytes], version: str, base: str, firmware: bytes | None
) -> bytes:
    lists: dict[str, list[str]] = {"delete": [], "new": [], "update": []}
    for path in sorted(set(old) | set(new)):
        if old.get(path) == new.get(path):
            continue
        if path not in new:
            lists["delete"].append('"' + path + '"')
        else:
            listed = "update" if path in old else "new"
            lists[listed].append(
                '{{"dst_path":"{}",{}}}'.format(path, described("/" + path, new[path]))
            )
    members = ['"{}":[{}]'.format(name, ",".join(lists[name])) for name in sorted(lists)]
    members.append(f'"version":"{version}","previous_version":"{base}"')
    if firmware:
        members.append(
            '"firmware":{{"version":"{}",{}}}'.format(version, described("/firmware", firmware))
        )
    return ("{" + ",".join(members) + "}").encode()


def described(url: str, content: bytes) -> str:
    digest = "".join(f"{byte:02x}" for byte in hashlib.sha256(content).digest())
    return f'"URL":"http://h{url}","sha256":"{digest}","size":{len(content)}'


class Bytes:
    """A stream of what a server has, for a transport that needs none."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def readinto(self, buf: bytearray) -> int:
        piece = self.data[self.at : self.at + len(buf)]
        buf[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def close(self) -> None:
        pass
