"""What the log says once the server is listening."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.application import strports
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import globalLogPublisher

from otaserver.greeting import (
    Greeting,
    Listening,
    OwnAddresses,
    _neighbours,
    address_line,
    own_addresses,
)
from tests.support.process import LOOPBACK, PROJECT, Server, running_server

NOWHERE = OwnAddresses(None, None)
IPV4 = OwnAddresses("192.168.1.10", None)
IPV6 = OwnAddresses(None, "2001:db8::7")
BOTH = OwnAddresses("192.168.1.10", "2001:db8::7")


@pytest.fixture
def greeted() -> Iterator[list[str]]:
    lines: list[str] = []

    def note(event: dict[str, Any]) -> None:
        if event["log_namespace"] == "otaserver.greeting.Greeting":
            lines.append(event["line"])

    observer: Any = note
    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


@pytest.mark.parametrize(
    ("listening", "own", "line"),
    [
        (
            Listening("http", "0.0.0.0", 8000),
            BOTH,
            "http://192.168.1.10:8000/ or http://127.0.0.1:8000/ (from this machine)",
        ),
        (
            Listening("ftp", "0.0.0.0", 2121),
            IPV4,
            "ftp://192.168.1.10:2121/ or ftp://127.0.0.1:2121/ (from this machine)",
        ),
        # The default port of a scheme is left out.
        (
            Listening("https", "0.0.0.0", 443),
            IPV4,
            "https://192.168.1.10/ or https://127.0.0.1/ (from this machine)",
        ),
        # Without a network, and where IPv6 alone leads to others.
        (Listening("http", "0.0.0.0", 80), NOWHERE, "http://127.0.0.1/ (from this machine)"),
        (Listening("http", "0.0.0.0", 80), IPV6, "http://127.0.0.1/ (from this machine)"),
        (
            Listening("http", "::", 8000, takes_ipv4=True),
            BOTH,
            "http://192.168.1.10:8000/ or http://127.0.0.1:8000/ (from this machine)",
        ),
        (
            Listening("http", "::", 8000, takes_ipv4=True),
            IPV6,
            "http://[2001:db8::7]:8000/ or http://127.0.0.1:8000/ (from this machine)",
        ),
        (
            Listening("http", "::", 8000),
            BOTH,
            "http://[2001:db8::7]:8000/ or http://[::1]:8000/ (from this machine)",
        ),
        (Listening("http", "::", 8000), IPV4, "http://[::1]:8000/ (from this machine)"),
        # A single address.
        (
            Listening("http", "127.0.0.1", 8000),
            BOTH,
            "http://127.0.0.1:8000/ (from this machine only)",
        ),
        (
            Listening("ftp", "::1", 21, takes_ipv4=True),
            BOTH,
            "ftp://[::1]/ (from this machine only)",
        ),
        (Listening("http", "10.0.0.2", 8000), BOTH, "http://10.0.0.2:8000/"),
    ],
)
def test_the_addresses_of_what_is_listened_on(
    listening: Listening, own: OwnAddresses, line: str
) -> None:
    assert address_line(listening, own) == line


class Port:
    """A port of an endpoint that takes its time."""

    def __init__(self) -> None:
        self.opened: Deferred[Port] = Deferred()
        self.socket = socket.socket()

    def listen(self, factory: object) -> "Deferred[Port]":
        return self.opened

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "0.0.0.0", 8000)


def observe(greeting: Greeting, scheme: str, endpoint: str, port: Port) -> None:
    factory: Any = Factory()
    service: Any = strports.service("tcp:0", factory)
    service.endpoint = port
    greeting.observe(scheme, endpoint, service)
    service.privilegedStartService()


def test_nothing_is_said_before_every_port_is_open(greeted: list[str]) -> None:
    greeting = Greeting("/srv/releases", lambda: IPV4)
    first, second = Port(), Port()
    for scheme, port in (("http", first), ("ftp", second)):
        observe(greeting, scheme, "tcp:0", port)
    first.opened.callback(first)
    greeting.startService()
    assert greeted == []
    second.opened.callback(second)
    assert greeted == [
        "Serving http://192.168.1.10:8000/ or http://127.0.0.1:8000/ (from this machine)",
        "Serving ftp://192.168.1.10:8000/ or ftp://127.0.0.1:8000/ (from this machine)",
        "To offer a new version, put its folder into /srv/releases; the README explains how.",
    ]
    for port in (first, second):
        port.socket.close()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("tcp:8000", "http://10.0.0.2:8000/"),
        ("haproxy:tcp:8000", "http://10.0.0.2:8000/"),
        ("tls:/etc/certificates:port=8000", "https://10.0.0.2:8000/"),
        ("ssl:8000", "https://10.0.0.2:8000/"),
        ("haproxy:ssl:8000", "https://10.0.0.2:8000/"),
    ],
)
def test_the_scheme_is_that_of_the_endpoint(
    greeted: list[str], endpoint: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Port, "getHost", lambda self: IPv4Address("TCP", "10.0.0.2", 8000))
    greeting, port = Greeting("/x", lambda: NOWHERE), Port()
    observe(greeting, "http", endpoint, port)
    port.opened.callback(port)
    greeting.startService()
    assert greeted[0] == f"Serving {url}"
    port.socket.close()


def greetings(server: Server) -> list[str]:
    return re.findall(r"\[otaserver\.greeting\.Greeting#info\] (.*)", "".join(server.log))


@pytest.mark.real
@pytest.mark.parametrize(
    ("interface", "line"),
    [
        ("tcp:0:interface=127.0.0.1", "Serving http://127.0.0.1:{} (from this machine only)"),
        (r"tcp6:0:interface=\:\:1", "Serving http://[::1]:{} (from this machine only)"),
        ("unix:{}", "Serving http at unix:{}"),
    ],
)
def test_ports_of_every_kind_are_told(
    small_tree: Path, tmp_path: Path, interface: str, line: str
) -> None:
    interface = interface.replace("{}", str(tmp_path / "socket"))
    with running_server(small_tree, tmp_path / "state", "--http", interface) as server:
        said = greetings(server)
    assert re.fullmatch(re.escape(line).replace(r"\{\}", r"(\d+/|/\S+/socket)"), said[0])


@pytest.mark.real
def test_a_start_ends_with_the_addresses_and_the_next_step(
    small_tree: Path, tmp_path: Path
) -> None:
    with running_server(small_tree, tmp_path / "state") as server:
        log, said = "".join(server.log), greetings(server)
    assert said == [
        f"Serving http://{LOOPBACK}:{server.http_port}/ (from this machine only)",
        f"Serving ftp://{LOOPBACK}:{server.ftp_port}/ (from this machine only)",
        f"To offer a new version, put its folder into {small_tree}; the README explains how.",
    ]
    assert log.index(said[0]) > log.index(" starting on ")


@pytest.mark.real
def test_the_machine_s_own_addresses_are_its_own() -> None:
    own = own_addresses()
    for family, host in ((socket.AF_INET, own.ipv4), (socket.AF_INET6, own.ipv6)):
        if host is not None:
            # Only an own address can be bound to; nothing listens on it.
            with socket.socket(family, socket.SOCK_DGRAM) as taken:
                taken.bind((host, 0))


@pytest.mark.real
def test_a_machine_without_a_network_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where nothing leads out, connecting to the loopback address is what is left.
    monkeypatch.setattr(
        "otaserver.greeting._ELSEWHERE", {socket.AF_INET: LOOPBACK, socket.AF_INET6: "no address"}
    )
    monkeypatch.setattr("otaserver.greeting._ROUTES", Path("/none"))
    assert own_addresses() == NOWHERE


@pytest.mark.skipif(sys.byteorder == "big", reason="the table below is a little-endian machine's")
def test_the_networks_that_the_machine_is_in() -> None:
    routes = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT \n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0 \n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0 \n"
        "wlan0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0 \n"
    )
    assert list(_neighbours(routes)) == ["192.0.2.1", "10.0.0.1"]
    assert list(_neighbours("")) == []


@pytest.mark.real
def test_a_network_without_a_way_out_has_an_address_too() -> None:
    """A vehicle's server is in its Wi-Fi, and nowhere else."""
    commands = (
        "ip link add left type veth peer name right && ip addr add 10.7.0.5/24 dev left && "
        "ip link set left up && ip link set right up && "
        f"exec {sys.executable} -c "
        "'from otaserver.greeting import own_addresses; print(own_addresses().ipv4)'"
    )
    unshare = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*unshare, commands.partition(" &&")[0]], capture_output=True).returncode:
        pytest.skip("networks can't be made here")
    run = subprocess.run([*unshare, commands], cwd=PROJECT, capture_output=True, text=True)
    assert run.stdout == "10.7.0.5\n", run.stderr
