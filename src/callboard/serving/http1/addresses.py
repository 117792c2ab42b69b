"""Whom a connection is counted for, so that no client takes the connections of all."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

HOME_BITS = 64
"""What one customer of an IPv6 provider has at least (RFC 6177, 2): all addresses in it are one client's."""


def networks(trusted: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks as an operator writes them.

    Raises:
        ValueError: One is neither.
    """
    return tuple(ip_network(each) for each in trusted)


def counted_as(address: str, trusted: Sequence[Network] = ()) -> str | None:
    """Under what name connections from ``address`` are counted together.

    Returns:
        The address, or the network of a client with IPv6; None for what speaks for many: loopback, where all
        clients of this machine and its reverse proxy are, a ``trusted`` proxy, and what has no address.
    """
    if address in {"", "127.0.0.1", "::1"}:
        return None
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback or any(ip in network for network in trusted):
        return None
    return str(ip_network((int(ip), HOME_BITS), strict=False)) if isinstance(ip, IPv6Address) else str(ip)
