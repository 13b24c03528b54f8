"""Releases that each break one rule: on disk for the server, in a manifest for a device."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.support.esp_image import esp_image, full_flash_image
from tests.support.trees import write_tree

BOOT_PY = b"import ota_boot\nota_boot.run()\n"
KEPT = {
    "flash/boot.py": BOOT_PY,
    "flash/lib/ota_http.py": b"HTTP = 1\n",
    "flash/lib/ota_recovery.py": b"RECOVERY = 1\n",
}
BASE = {**KEPT, "flash/main.py": b"1\n"}
IMAGE = esp_image("1.0.1", b"firmware " * 500)
# 187 bytes, or 547 once they are percent-encoded.
LONG_PATH = "flash/" + "п" * 45 + "/" + "п" * 45
LONG_PRODUCT = "/".join(["п" * 45] * 2)


class Device(Enum):
    """What the device library does if it is offered such a release, as the table begins."""

    REFUSES = "`ManifestError`"
    REFUSES_FIRMWARE = "`FirmwareError`"
    REFUSES_ON_FAT = "`ManifestError` on FAT"
    REFUSES_CARD_INSIDE = "`ManifestError` on boards"
    TAKES_IT = "takes it"


@dataclass(frozen=True)
class Case:
    """A release, or firmware, that breaks one rule.

    what and remedy: as the table in docs/release-rules.md has them.
    path: what the server says it of, below the product's folder.
    new: the files by their path on the device.
    old: likewise, of 1.0.0, if what is wrong is the step from that.
    """

    rule: str
    what: str
    remedy: str
    path: str
    device: Device
    new: Mapping[str, bytes] = field(default_factory=lambda: BASE)
    old: Mapping[str, bytes] | None = None
    version: str = "1.0.1"
    firmware: bytes | None = None
    product: str = ""

    def write(self, root: Path) -> Path:
        """Put the releases into a tree; return the folder that they are in."""
        files = {f"1.0.0/{path}": content for path, content in (self.old or BASE).items()}
        if self.firmware is not None:
            files["firmware_1.0.0.bin"] = IMAGE
            files[f"firmware_{self.version}.bin"] = self.firmware
        else:
            files |= {f"{self.version}/{path}": content for path, content in self.new.items()}
        return write_tree(root / self.product, files)


def _bad(
    rule: str,
    path: str,
    what: str,
    remedy: str,
    device: Device = Device.REFUSES,
    product: str = "",
) -> Case:
    """A file that no release may have."""
    new = {**BASE, path: b"x\n"}
    return Case(rule, what, remedy, f"1.0.1/{path}", device, new, product=product)


def _step(
    rule: str,
    old: dict[str, bytes],
    new: dict[str, bytes],
    path: str,
    what: str,
    remedy: str,
    device: Device = Device.REFUSES,
) -> Case:
    return Case(rule, what, remedy, f"1.0.1/{path}", device, new, old)


def _image(rule: str, content: bytes, what: str, remedy: str, device: Device) -> Case:
    return Case(rule, what, remedy, "firmware_1.0.1.bin", device, firmware=content)


def _version(rule: str, version: str, what: str, remedy: str, device: Device) -> Case:
    return Case(rule, what, remedy, version, device, version=version)


_FAT_NAMES = "names can be stored on FAT as they are"
_KEPT_NAMES = "no file has a name that the device library keeps for itself"
_KEPT_NAME = "has a name that the device library keeps for itself"
_RECOVERY = "what recovery needs is not taken away"
_CARD = "the card's folder is not inside `flash/`"
_VERSION = "versions can be recorded and sent"
_NOT_IN_VERSIONS = "has a version with a space, a quote or another unsafe character"
_REPLACE = "replace it by the image of the application alone, such as micropython.bin"

CASES = [
    _bad("files are in `flash/` or `sd/`", "README.md", "is outside flash/ and sd/",
         "move it there, or out of the release"),
    _bad("there is no release inside a release", "1.0.1/flash/main.py",
         "is in a release inside the release",
         "move the content of 1.0.1 up, or if this is a product, rename it"),
    _bad(_CARD, "flash/sd/log.txt",
         "has sd directly inside flash, where some boards mount another file system", "rename sd",
         Device.REFUSES_CARD_INSIDE),
    _bad(_KEPT_NAMES, "flash/lib/ota_prev.py", _KEPT_NAME, "rename it"),
    _bad(_KEPT_NAMES + ", in any case", "flash/ota_version.py", _KEPT_NAME, "rename it",
         Device.REFUSES_ON_FAT),
    _bad("a path is no longer than 200 bytes", "flash/" + "/".join(["n" * 97] * 2),
         "has a path of more than 200 bytes", "shorten it"),
    _bad("a name is no longer than 100 bytes", "flash/" + "n" * 98 + ".py",
         "has a name of more than 100 bytes", "shorten it"),
    _bad("an address is no longer than 700 bytes", LONG_PATH,
         "has an address of more than 700 bytes, once it is percent-encoded",
         "shorten the names along its path", product=LONG_PRODUCT),
    _bad("names have no control characters", "flash/a\tb.txt",
         "has a control character in its name", "rename or delete it"),
    _bad(_FAT_NAMES, "flash/12:30.log", "has a name that FAT can't store as it is", "rename it"),
    Case("names differ in more than case",
         "differs from flash/Lib only in case, which FAT ignores", "rename one", "1.0.1/flash/lib",
         Device.TAKES_IT, {**BASE, "flash/Lib/a.py": b"a\n"}),
    _step("no file takes the place of a folder", {**BASE, "flash/log/x.txt": b"x\n"},
          {**BASE, "flash/log": b"x\n"}, "flash/log",
          "is a file, but 1.0.0 has a folder of that name", "rename it"),
    _step("no folder takes the place of a file", {**BASE, "flash/log": b"x\n"},
          {**BASE, "flash/log/x.txt": b"x\n"}, "flash/log",
          "is a folder, but 1.0.0 has a file of that name", "rename it"),
    _step("no name changes only in case", {**BASE, "flash/Log.py": b"x\n"},
          {**BASE, "flash/log.py": b"x\n"}, "flash/log.py",
          "differs from flash/Log.py in 1.0.0 only in case, which FAT ignores",
          "keep the old name, or choose another", Device.REFUSES_ON_FAT),
    _step(_RECOVERY, BASE, {"flash/boot.py": BOOT_PY, "flash/main.py": b"1\n"},
          "flash/lib/ota_recovery.py",
          "is missing, but 1.0.0 has it, and devices need it to recover", "put it back"),
    _step("the library is not taken away", BASE,
          {path: BASE[path] for path in BASE if "ota_http" not in path}, "flash/lib/ota_http.py",
          "is missing, but 1.0.0 has it, and devices need it for updates", "put it back"),
    _step("`boot.py` still starts recovery", BASE, {**BASE, "flash/boot.py": b"import main\n"},
          "flash/boot.py", "does not start recovery, but that of 1.0.0 does",
          "put the two lines with ota_boot back"),
    _version("a version is no longer than 64 characters", "1.0." + "1" * 61,
             "has a version of more than 64 characters", "shorten it", Device.REFUSES),
    _version(_VERSION, "1.0.1 'final'", _NOT_IN_VERSIONS,
             "change the version, to 1.0.1-final for example", Device.REFUSES),
    _version(_VERSION + ", by the original client too", "1.0.1 final", _NOT_IN_VERSIONS,
             "change the version, to 1.0.1-final for example", Device.TAKES_IT),
    _image("firmware is not empty", b"", "is empty", "upload it again", Device.REFUSES_FIRMWARE),
    _image("firmware is an application image", b"\x7fELF" + bytes(2000),
           "is not an application image: its first byte isn't 0xE9", _REPLACE,
           Device.REFUSES_FIRMWARE),
    _image("firmware is complete", IMAGE[:-1000], "is cut short, by 1000 bytes or more",
           "upload it again", Device.TAKES_IT),
    _image("firmware is the application alone", full_flash_image(0x8000, 0x10000),
           "is a full flash image, with bootloader and partition table", _REPLACE,
           Device.REFUSES_FIRMWARE),
]  # fmt: skip
