"""Connecting: to each of the addresses of a name, and without a wait that starves a watchdog.

The socket never blocks. Whether it is connected is found by calling connect() again, the one
way that all ports have: before that is decided, they raise EALREADY, and afterwards EISCONN
or the reason why it failed; only Linux returns once. A read with a time-out would wait for a
full buffer, so that a server could block it for ever by sending a byte now and then.
"""

try:
    import select
    import socket
except ImportError:
    import uselect as select
    import usocket as socket

from ota_errors import LinkError
from ota_socket import wait

POLLOUT = 4  # everywhere; some ports have no name for it
POLL_S = 1
# EISCONN, and EALREADY and EINPROGRESS: of macOS, of Linux and most ports, of the ESP32's libc.
CONNECTED = (56, 106, 127)
CONNECTING = (36, 37, 114, 115, 119, 120)


def connect(host, port, timeout_s, board, peer=None):
    """Return (socket, peer), where the peer is (family, address). LinkError if that fails.

    Args:
        host: address or name; each of the addresses of a name is tried.
        port: TCP port.
        timeout_s: time-out for each address.
        board: for the clock and the watchdog.
        peer: the peer to take instead of those of the name, None for any of these.
    """
    error = "it has no address"
    tried = []
    board.feed_watchdog()
    try:
        # It also resolves names. CPython lists an address for each type of socket.
        for found in (peer,) if peer else socket.getaddrinfo(host, port):
            peer = (found[0], found[-1])
            if peer not in tried:
                tried.append(peer)
                try:
                    return _connected(peer, timeout_s, board), peer
                except Exception as failure:  # on some ports TimeoutError is not an OSError
                    error = failure
    except Exception as failure:
        error = failure
    raise LinkError("no connection to {}:{}: {}".format(host, port, error))


def _connected(peer, timeout_s, board):
    one = socket.socket(peer[0])
    try:
        one.setblocking(False)
        poll = select.poll()
        poll.register(one, POLLOUT)
        start_ms = board.ticks_ms()
        has_waited = False
        while board.elapsed_ms(start_ms) <= timeout_s * 1000:
            try:
                one.connect(peer[1])
                return one
            except OSError as error:
                if error.args[0] in CONNECTED:
                    return one
                if error.args[0] not in CONNECTING:
                    raise
            # On some ports it is ready before it is connected, and this does not wait.
            if not wait(poll, min(timeout_s, POLL_S), board) or has_waited:
                board.feed_watchdog()
            has_waited = True
        raise OSError("timed out")
    except Exception:
        one.close()
        raise
