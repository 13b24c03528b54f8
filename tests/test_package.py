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
@pytest.mark.parametrize("package", ["otaserver.catalogue", "otaserver.manifest"])
def test_the_rooms_of_the_core_load_no_twisted(package: str) -> None:
    """Every module of the package, in a process of its own, loads none of Twisted's."""
    code = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module({package!r})\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in "
        "('twisted', 'zope')))\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    assert loaded.split() == []
