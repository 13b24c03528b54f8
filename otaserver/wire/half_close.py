"""Clients that close their sending side, behind a wrapper such as that of ``haproxy:``.

Twisted asks the protocol of a socket whether it goes on after that. If that protocol is a
wrapper, it doesn't know of halves, and the connection ends before the answer has left.
TLS is left alone: a sending side that is closed without a word of TLS is an attack
(RFC 8446, section 6.1).
"""

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import alsoProvides


def pass_on_half_close(transport: Any, protocol: Any) -> None:
    """Have a protocol told that its client has closed a half, also through a wrapper.

    Args:
        transport: the protocol's transport.
        protocol: an `IHalfCloseableProtocol`.
    """
    if isinstance(transport, ProtocolWrapper) and not ISSLTransport.providedBy(transport):
        # A wrapper's attributes are those of its transport unless it has its own.
        wrapper: Any = transport
        wrapper.readConnectionLost = protocol.readConnectionLost
        wrapper.writeConnectionLost = protocol.writeConnectionLost
        alsoProvides(wrapper, IHalfCloseableProtocol)
