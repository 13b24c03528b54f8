"""A simulated board to test with: a folder, and a start of it in a process of its own."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.device import LIBRARY, Boot, interpreter_command
from tests.support.esp_image import esp_image
from tests.support.micropython import PROJECT
from tests.support.raw_servers import RawHTTPServer
from tests.support.update_tree import contents, manifest

EXAMPLES = LIBRARY / "examples"
METER, POLLING = "pycom_lorawan_meter.py", "esp32_polling.py"
EXAMPLE = {"pycom": METER, "esp32": POLLING, "rp2": POLLING}
RUN = PROJECT / "tests" / "support" / "board_run.py"
BOOT_PY = (EXAMPLES / "boot.py").read_bytes()
OLD_IMAGE = esp_image("1.0.0", b"firmware " * 100)
IMAGE = esp_image("1.0.1", b"firmware " * 3000)
MOST_STARTS = 16
START_TIMEOUT_S = 60


class SimulatedBoard:
    """A board of a kind that runs its example; ``old`` is the release on it, ``new`` the next.

    library: where the library lies, beside what the release has in ``flash/lib``.
    """

    def __init__(
        self, folder: Path, kind: str, slots: str = "ota_0,ota_1", library: Path = LIBRARY
    ) -> None:
        self.folder = folder
        self.kind = kind
        self.library = library
        self.settings = {"slots": slots}
        main_py = (EXAMPLES / EXAMPLE[kind]).read_bytes()
        self.old = {"flash/boot.py": BOOT_PY, "flash/main.py": main_py}
        self.new = {**self.old, "flash/main.py": main_py + b"# 1.0.1\n", "flash/x.txt": b"x\n"}
        self.put({**self.old, "flash/OTA_VERSION.py": b"VERSION = '1.0.0'\n"})
        # The rest of the chip: slots, and what the bootloader reads.
        self.put(dict.fromkeys(("factory", "ota_0", "ota_1"), b""))
        first = "Factory" if kind == "pycom" else slots.split(",")[0]
        self.put({first: OLD_IMAGE, "boot": b"Factory ota_0 ready"})
        self.put({"otadata": b'[[0, ""], [0, ""]]'})

    def put(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)

    def start(self, port: int = 0, **settings: object) -> Boot:
        words = [f"{name}={value}" for name, value in {**self.settings, **settings}.items()]
        command = [*interpreter_command("micropython"), str(RUN), str(self.library)]
        done = subprocess.run(
            [*command, str(self.folder), self.kind, str(port), *words],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Boot(done.stdout.splitlines())

    def start_until_idle(self, **settings: Any) -> list[Boot]:
        """Start again after each reset, until the application is left to itself."""
        boots = [self.start(**settings)]
        while boots[-1].was_reset:
            assert len(boots) < MOST_STARTS, boots[-1].lines
            boots.append(self.start(**settings))
        return boots

    def update(self, image: bytes | None = IMAGE, **settings: object) -> Boot:
        with self.server(image) as server:
            boot = self.start(server.port, **settings)
        assert boot.was_reset, boot.lines
        return boot

    def server(
        self, image: bytes | None = IMAGE, version: str = "1.0.1", base: str = "1.0.0"
    ) -> RawHTTPServer:
        made = manifest(self.old, self.new, image, version, base)
        return RawHTTPServer(contents(made, self.new, image, version))

    def offers_nothing(self) -> RawHTTPServer:
        return RawHTTPServer({"/manifest.json": b"null"})

    def tree(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in (self.folder / "flash").rglob("*")
            if path.is_file() and ".ota" not in path.parts and path.name != "OTA_VERSION.py"
        }

    def file(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def is_old_again(self, reason: str) -> None:
        assert self.tree() == self.old
        assert self.file("flash/OTA_VERSION.py") == b"VERSION = '1.0.0'\n"
        outcome = self.file("flash/.ota/outcome").decode().split("\t")
        assert outcome[:3] == ["rolled back", "1.0.1", "1.0.0"]
        assert outcome[3].startswith(reason)
