"""Runs under MicroPython: one start of a device, which has /flash and resets by ``machine``.

device_start.py FLASH_FOLDER
"""

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


modules: "dict[str, Any]" = sys.modules
modules["machine"] = Machine
vfs.mount(vfs.VfsPosix(sys.argv[1]), "/flash")
sys.path[:] = ["/flash", "/flash/lib"]
try:
    import ota_boot

    print("state", ota_boot.run())
except Reset:
    print("reset")
