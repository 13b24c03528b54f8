"""Where the tests' own MicroPython comes from."""

from typing import NoReturn

import pytest

from tests.support import micropython
from tests.support.device import interpreter_command
from tests.support.micropython import MicroPythonUnavailable, main_archive, trixie_sources

DEB822 = """Types: deb
# http://archive.invalid/commented/debian
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/archive.gpg
"""
SECURITY = DEB822.replace(
    "/debian\nSuites: bookworm", "/debian-security\nSuites: bookworm-security"
)


@pytest.mark.parametrize(
    "text, found",
    [
        (DEB822, ("http://mirror.invalid/debian", "signed-by=/usr/share/keyrings/archive.gpg")),
        (SECURITY + "\n" + DEB822, main_archive(DEB822)),
        (SECURITY, None),
        ("deb http://a.invalid/debian bookworm main contrib\n", ("http://a.invalid/debian", "")),
        ("# deb http://mirror.invalid/debian bookworm main\n", None),
        (
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian/ bookworm main\n",
            ("http://mirror.invalid/debian/", "arch=amd64 signed-by=/k.gpg"),
        ),
        ("deb http://other.invalid/tools stable main\n", None),
    ],
)  # fmt: skip
def test_the_machines_own_archive(text: str, found: tuple[str, str] | None) -> None:
    assert main_archive(text) == found


def test_source_of_the_other_suite() -> None:
    line = trixie_sources("http://mirror.invalid/debian", "signed-by=/k.gpg")
    assert line == "deb [signed-by=/k.gpg] http://mirror.invalid/debian trixie main\n"


@pytest.fixture
def unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> NoReturn:
        raise MicroPythonUnavailable("not in this test")

    monkeypatch.setattr("tests.support.device.micropython_command", fail)


def test_without_it_tests_are_skipped(monkeypatch: pytest.MonkeyPatch, unavailable: None) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not in this test"):
        interpreter_command("micropython")


def test_but_never_in_ci(monkeypatch: pytest.MonkeyPatch, unavailable: None) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(MicroPythonUnavailable):
        interpreter_command("micropython")


@pytest.mark.real
def test_what_is_too_old_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micropython, "MINIMUM_VERSION", (99, 0))
    with pytest.raises(MicroPythonUnavailable, match="too old"):
        micropython.micropython_command()
