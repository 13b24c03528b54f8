"""Runs under MicroPython: one start of a device, which has /flash and resets by ``machine``.

device_start.py FLASH_FOLDER
"""

import os
import sys

import vfs

TYPE_CHECKING = False  # for a type checker it is true
if TYPE_CHECKING:
    from typing import Any


class Reset(BaseException):
    pass


class Machine:
    @staticmethod
    def reset() -> None:
        raise Reset


class OS:
    """The module os with a rename that works: that of a mounted folder loses its first path."""

    def rename(self, old: str, new: str) -> None:
        os.rename(sys.argv[1] + old[len("/flash") :], sys.argv[1] + new[len("/flash") :])

    def __getattr__(self, name: str) -> "Any":
        return getattr(os, name)


modules: "dict[str, Any]" = sys.modules
modules["os"] = OS()
modules["machine"] = Machine
vfs.mount(vfs.VfsPosix(sys.argv[1]), "/flash")
sys.path[:] = ["/flash", "/flash/lib"]
try:
    import ota_boot

    print("state", ota_boot.run())
except Reset:
    print("reset")
