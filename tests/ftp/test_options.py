"""The options of FTP."""

from pathlib import Path

import pytest

from otaserver.options import Options
from otaserver.startup import CannotStart
from otaserver.tap import makeService


def parsed(root: Path, *arguments: str) -> Options:
    options = Options()
    options.parseOptions(["--root", str(root), *arguments])
    return options


def test_defaults(root: Path) -> None:
    options = parsed(root)
    assert options["ftp"] == "tcp:2121"
    assert options["ftp-login-attempts"] == 3


def test_passive_ports(root: Path) -> None:
    assert parsed(root)["ftp-passive-ports"] == range(49152, 65536)
    wanted = parsed(root, "--ftp-passive-ports", "30000-30002")["ftp-passive-ports"]
    assert list(wanted) == [30000, 30001, 30002]


@pytest.mark.parametrize(
    "text", ["", "1", "5-4", "0-10", "60000-70000", "a-b", "1-2-3", "-", "1-" + "9" * 5000]
)
def test_passive_ports_that_are_none(root: Path, text: str) -> None:
    with pytest.raises(CannotStart):
        parsed(root, "--ftp-passive-ports", text)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--ftp-login-attempts", "0"), ("--ftp-max-command", "10"), ("--ftp-idle-timeout", "-1"),
     ("--ftp-max-connections", "x"), ("--ftp-login-delay", "nan")],
)  # fmt: skip
def test_values_that_are_none(root: Path, option: str, value: str) -> None:
    with pytest.raises(CannotStart):
        parsed(root, option, value)


def test_a_public_address_that_is_none(root: Path) -> None:
    with pytest.raises(CannotStart, match="--ftp-public-address 'nowhere' is not an IP address"):
        parsed(root, "--ftp-public-address", "nowhere")


@pytest.mark.real
def test_an_endpoint_that_is_none(root: Path) -> None:
    with pytest.raises(CannotStart, match="--ftp"):
        makeService(parsed(root, "--ftp", "nonsense:1"))


def test_nothing_to_serve(root: Path) -> None:
    with pytest.raises(CannotStart, match="nothing to serve"):
        parsed(root, "--http", "", "--ftp", "")
