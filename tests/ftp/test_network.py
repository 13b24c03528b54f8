"""Ports and connections of the system's own."""

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from otaserver.ftp.addresses import Address, is_same_network
from otaserver.ftp.network import Network, PassivePort, ReactorNetwork
from tests.support.ports import free_ports

pytestmark = pytest.mark.real

HOST = "127.0.0.1"
PORTS = free_ports(10)


class Recorder(Protocol):
    """Says who was connected."""

    peers: list[str]
    turned_away: list[str]
    is_lost = False

    def __init__(self) -> None:
        self.peers = []
        self.turned_away = []

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_lost = True

    def turn_away(self, host: str) -> None:
        self.turned_away.append(host)

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.peers.append(transport.getPeer().host)


@pytest.fixture
def reactor() -> Iterator[SelectReactor]:
    # One of its own, that is turned by hand.
    reactor = SelectReactor()
    yield reactor
    reactor.disconnectAll()


def network_of(reactor: SelectReactor) -> Network:
    return ReactorNetwork(reactor, PORTS)


def turn(reactor: SelectReactor, times: int = 5) -> None:
    for _ in range(times):
        reactor.runUntilCurrent()
        reactor.doIteration(0.01)


def test_one_client_and_no_more(reactor: SelectReactor) -> None:
    protocol = Recorder()
    port = network_of(reactor).listen(HOST, HOST, protocol)
    with socket.create_connection((HOST, port.number)):
        turn(reactor)
        assert protocol.peers == [HOST]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port.number))


def test_strangers_are_turned_away(reactor: SelectReactor) -> None:
    protocol = Recorder()
    port = network_of(reactor).listen(HOST, "192.0.2.7", protocol)
    for _ in range(20):
        with socket.create_connection((HOST, port.number), 1) as stranger:
            turn(reactor, 2)
            assert stranger.recv(1) == b""
    assert protocol.peers == []
    assert protocol.turned_away == [HOST] * 20
    port.close()
    port.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port.number))


def test_a_stranger_does_not_keep_the_client_out(reactor: SelectReactor) -> None:
    protocol = Recorder()
    port = network_of(reactor).listen(HOST, HOST, protocol)
    where = (HOST, port.number)
    with (
        socket.create_connection(where, source_address=("127.0.0.2", 0)) as stranger,
        socket.create_connection(where),
    ):
        turn(reactor)
        assert stranger.recv(1) == b""
    assert protocol.peers == [HOST]
    assert protocol.turned_away == []


def test_the_network_of_a_client(reactor: SelectReactor) -> None:
    protocol = Recorder()
    network = ReactorNetwork(reactor, PORTS, is_same_network)
    where = (HOST, network.listen(HOST, HOST, protocol).number)
    with socket.create_connection(where, source_address=("127.0.1.1", 0)) as stranger:
        turn(reactor)
        assert stranger.recv(1) == b""
    assert protocol.turned_away == ["127.0.1.1"]
    with socket.create_connection(where, source_address=("127.0.0.2", 0)):
        turn(reactor)
    assert protocol.peers == ["127.0.0.2"]


def test_ports_come_from_the_range(reactor: SelectReactor) -> None:
    free = free_ports(3)
    network: Network = ReactorNetwork(reactor, free, choose=lambda count: count - 1)
    ports = [network.listen(HOST, HOST, Recorder()) for _ in free]
    assert [port.number for port in ports] == [free[2], free[0], free[1]]
    with pytest.raises(OSError):
        network.listen(HOST, HOST, Recorder())
    ports[0].close()
    assert network.listen(HOST, HOST, Recorder()).number == free[2]


def test_an_address_that_is_not_here(reactor: SelectReactor) -> None:
    with pytest.raises(OSError):
        network_of(reactor).listen("192.0.2.1", HOST, Recorder())


def test_without_descriptors_the_port_closes(reactor: SelectReactor) -> None:
    """It would be called again and again, for a client that can't be taken."""
    listening = Exhausted()
    listening.bind((HOST, 0))
    listening.listen()
    protocol: Any = Recorder()
    PassivePort(reactor, listening, lambda _: True, protocol).doRead()
    assert listening.fileno() == -1
    assert listening not in [getattr(r, "_listening", None) for r in reactor.getReaders()]


def test_a_client_that_has_hung_up_already(reactor: SelectReactor) -> None:
    """The command that waits for it is told so, and nothing is raised."""
    protocol = Recorder()
    port = network_of(reactor).listen(HOST, HOST, protocol)
    with socket.create_connection((HOST, port.number)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    turn(reactor)
    assert protocol.peers == []
    assert protocol.is_lost


class Exhausted(socket.socket):
    """A socket of a process that has no descriptor left."""

    def accept(self) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")


def test_connecting_from_the_right_address(reactor: SelectReactor) -> None:
    protocol = Recorder()
    with socket.create_server((HOST, 0)) as waiting:
        address = Address(HOST, waiting.getsockname()[1])
        network_of(reactor).connect(address, "127.0.0.2", 5, protocol)
        turn(reactor)
        client, (host, _) = waiting.accept()
        client.close()
    assert host == "127.0.0.2"
    assert protocol.peers == [HOST]
