"""Addresses of hosts: one form for each, and how URLs write them."""

from ipaddress import IPv6Address, ip_address


def unmapped(host: str) -> str:
    """Write an IPv4-mapped IPv6 address as IPv4 (RFC 4291, section 2.5.5.2).

    A listener for both families sees all its IPv4 clients at mapped addresses.

    Args:
        host: an address, with or without a zone, or anything else.

    Returns:
        The IPv4 address; anything that isn't a mapped one is returned unchanged.
    """
    # Most are IPv4; parsing one would take half as long as an answer.
    if ":" not in host:
        return host
    try:
        mapped = IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)


def canonical(host: str) -> str:
    """Normalize an address, so that equal addresses compare equal.

    Args:
        host: an IPv4 or IPv6 address, with or without a zone.

    Returns:
        The address in canonical form: without a zone, and with an IPv4-mapped
        IPv6 address written as IPv4. Anything else is returned unchanged.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_ipv6(host: str) -> bool:
    """Return whether an address belongs to IPv6 rather than IPv4.

    Args:
        host: an address in canonical form, or with a zone.

    Returns:
        True for IPv6; False for IPv4, and for an empty string.
    """
    return ":" in host


def url_authority(host: str, port: int | None, default_port: int | None = None) -> str:
    """Format a host and a port for use in a URL (RFC 3986, section 3.2).

    Args:
        host: a name, or an address in canonical form.
        port: a TCP port; None to name none.
        default_port: the port that is not written either.

    Returns:
        The host, in brackets if it is an IPv6 address, and the port.
    """
    shown = f"[{host}]" if is_ipv6(host) else host
    return shown if port in (None, default_port) else f"{shown}:{port}"
