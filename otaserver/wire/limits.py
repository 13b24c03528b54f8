"""How many connections there may be, in total and from one address."""

from collections import Counter
from ipaddress import IPv6Address

from otaserver.errors import OTAServerError


class TooManyConnections(OTAServerError):
    """A connection exceeds the limits."""

    def __init__(self) -> None:
        super().__init__("There are too many connections; try again.")


class ConnectionLimits:
    """Counts connections.

    Args:
        in_all: how many there may be in total; 0 for no limit.
        per_address: how many there may be from one address; 0 for no limit.
    """

    def __init__(self, in_all: int, per_address: int) -> None:
        self._in_all = in_all
        self._per_address = per_address
        self._total = 0
        self._by_address: Counter[str] = Counter()

    def admit(self, host: str) -> bool:
        """Count a connection, unless it is one too many.

        Args:
            host: the address that it comes from; empty if it has none, as over a
                Unix socket.

        Returns:
            Whether it is within the limits, and so was counted.
        """
        address = counted_address(host)
        if self._in_all and self._total >= self._in_all:
            return False
        if self._per_address and address and self._by_address[address] >= self._per_address:
            return False
        self._total += 1
        self._by_address[address] += 1
        return True

    def release(self, host: str) -> None:
        """Stop counting a connection that was admitted.

        Args:
            host: the address that it came from.
        """
        address = counted_address(host)
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def counted_address(host: str) -> str:
    """Decide which connections count as coming from one address.

    A single customer has a whole /64 of IPv6 addresses, so each /64 counts as one; except
    for link-local addresses, where all of a network's devices are in the same /64.

    Args:
        host: an IPv4 or IPv6 address that isn't IPv4-mapped, with or without a zone, or
            anything else.

    Returns:
        A string that is the same for all addresses that count as one.
    """
    # Most are IPv4; parsing one would take half as long as an answer.
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    if address.is_link_local:
        return host
    return str(IPv6Address(int(address) >> 64 << 64))
