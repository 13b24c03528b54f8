"""The device library's modules, and which of them a device must always be able to load.

After an update of the firmware, and after going back, a device may load .mpy files of
another version than before, or none. Whatever runs at boot must load even then, or an
update that was interrupted would never end: so these modules stay source in every package.
"""

import ast
from collections.abc import Mapping
from pathlib import Path

import otaserver

_FIRST_AT_BOOT = "ota_boot"


def library_folder() -> Path:
    """Find the folder with the device library.

    Returns:
        The folder that was installed inside the package; in a checkout, the one beside it.
    """
    package = Path(otaserver.__file__).parent
    installed = package / "device"
    return installed if installed.is_dir() else package.parent / "device"


def read_library(folder: Path) -> dict[str, bytes]:
    """Read the device library.

    Args:
        folder: the folder with its modules.

    Returns:
        The text of each file by its name, such as ``OTA.py``, sorted.

    Raises:
        OSError: a file can't be read, or there is none.
    """
    modules = {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}
    if f"{_FIRST_AT_BOOT}.py" not in modules:
        raise FileNotFoundError(f"there is no device library in {folder}")
    return modules


def needed_at_boot(modules: Mapping[str, bytes]) -> frozenset[str]:
    """Find the modules that run at boot, whether or not an update is under way.

    Args:
        modules: the library, as `read_library` returns it.

    Returns:
        The names of the files that ``ota_boot`` imports, directly or not, and its own.
    """
    found: set[str] = set()
    left = {f"{_FIRST_AT_BOOT}.py"}
    while left:
        name = left.pop()
        found.add(name)
        left |= _imported(modules[name]) & modules.keys() - found
    return frozenset(found)


def _imported(text: bytes) -> set[str]:
    """List the files of the modules that a module may import, also by ``__import__(name)``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                names.add(module)
            case ast.Constant(value=str(word)):
                names.add(word)
    return {f"{name}.py" for name in names}
