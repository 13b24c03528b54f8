import ast
import subprocess
import sys

import pytest

from tests.support.process import PROJECT


def test_the_plugins_folder_would_not_replace_twisted_s_own() -> None:
    assert not (PROJECT / "plugins" / "__init__.py").exists()


def test_the_package_says_that_it_is_typed() -> None:
    assert (PROJECT / "otaserver" / "py.typed").exists()


def test_what_runs_on_devices_never_imports_the_server() -> None:
    for folder in ("device", "releases"):
        for path in (PROJECT / folder).rglob("*.py"):
            assert "otaserver" not in path.read_text(), path


@pytest.mark.real
@pytest.mark.parametrize(
    "package",
    [
        "otaserver.catalogue",
        "otaserver.manifest",
        "otaserver.mip",
        "otaserver.commands",
        "otaserver.cli",
    ],
)
def test_the_core_and_the_commands_load_no_twisted(package: str) -> None:
    """Every module of the package, in a process of its own, loads none of Twisted's."""
    code = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module({package!r})\n"
        "for module in pkgutil.walk_packages("
        "getattr(package, '__path__', ()), package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in "
        "('twisted', 'zope')))\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    assert loaded.split() == []


# From the ground up; a room imports only itself and what stands before it.
ROOMS = (
    "errors",
    "byte_cache",
    "clock",
    "worker",
    "once",
    "catalogue",
    "disk",
    "manifest",
    "commands",
    "cli",
    "mip",
    "library_forms",
    "packages",
    "encoded_manifests",
    "watch",
    "service",
    "wire",
    "http",
    "ftp",
    "trial",
    "greeting",
    "startup",
    "certificates",
    "option_values",
    "endpoints",
    "signals",
    "options",
    "tap",
)
# The protocols don't know each other.
STRANGERS = {("ftp", "http"), ("wire", "service"), ("wire", "watch"), ("wire", "manifest")}
# The command is no part of the server.
COMMAND = {"commands", "cli"}


def imports() -> dict[str, set[str]]:
    """Read which of the server's modules each of them imports, for its types, too."""
    found: dict[str, set[str]] = {}
    for path in (PROJECT / "otaserver").rglob("*.py"):
        name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        nodes = ast.walk(ast.parse(path.read_text()))
        modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        found[name] = {module for module in modules if module.startswith("otaserver.")}
    return found


def test_arrows_run_downwards_only() -> None:
    for module, imported in imports().items():
        if module == "otaserver.__init__":
            continue
        room = module.split(".")[1]
        for other in imported:
            below = other.split(".")[1]
            assert ROOMS.index(below) <= ROOMS.index(room), f"{module} imports {other}"
            assert (room, below) not in STRANGERS, f"{module} imports {other}"
            assert room in COMMAND or below not in COMMAND, f"{module} imports {other}"


def test_no_module_imports_itself_by_a_detour() -> None:
    left = imports()
    while left:
        free = {module for module, imported in left.items() if not imported & left.keys()}
        assert free, f"a cycle among {sorted(left)}"
        left = {module: imported for module, imported in left.items() if module not in free}
