"""Where we may dial: the one place that turns a host name into addresses.

A name is resolved, every address is judged, and the connection goes to exactly an address that was judged, so
that a second resolution cannot answer differently. TLS and ``Host`` keep the name.

Addresses of the public internet are open to all. Private and loopback addresses are open only for hosts which
the operator's configuration names. Link-local addresses, cloud metadata services, multicast, broadcast and
unspecified addresses are closed always. An IPv6 address that carries an IPv4 address is judged by both.

Source: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 4291 (mapped), RFC 3056 (6to4),
RFC 6052 and RFC 8215 (NAT64).
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import anyio

from callboard.errors import UpstreamUnreachable

Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""Resolves a name for a TCP port into addresses in text form, best first; raises OSError where it cannot."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
_NAT64 = IPv6Network("64:ff9b::/96")
_SHARED = IPv4Network("100.64.0.0/10")
_RESERVED = IPv4Network("240.0.0.0/4")
# Services that hand credentials to whoever can reach them, where the range alone does not close them.
_METADATA = frozenset(
    ip_address(address) for address in ("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254")
)


async def resolve_with_system(host: str, port: int) -> tuple[str, ...]:
    """Ask the operating system's resolver."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(address[0] for *_, address in found))


class DialGuard:
    """Resolves host names and refuses the addresses we must not connect to.

    Attributes:
        allow_private_hosts: ``host`` or ``host:port`` (``[v6]:port``), as the operator configured them.
    """

    def __init__(
        self, allow_private_hosts: frozenset[str] = frozenset(), *, resolve: Resolve = resolve_with_system
    ) -> None:
        self.allow_private_hosts = frozenset(name.lower() for name in allow_private_hosts)
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses to connect to for a host, best first, at least one.

        One forbidden address condemns the whole name: an honest name has none.

        Raises:
            UpstreamUnreachable: The name does not resolve, or resolves to an address we may not dial.
        """
        found = (host,) if _is_address(host) else await self._look_up(host, port)
        private = self._names(host, port)
        for address in found:
            if not may_dial(address, private=private):
                refusal = UpstreamUnreachable("the upstream's address is not one this server may connect to")
                refusal.add_note(
                    f"{host}:{port} is {address}; only a host named in the configuration may be private"
                )
                raise refusal
        return found

    def also_allowing(self, host: str, port: int) -> DialGuard:
        """The same guard with one more host that the operator named."""
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return DialGuard(self.allow_private_hosts | {name}, resolve=self._resolve)

    async def _look_up(self, host: str, port: int) -> tuple[str, ...]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise UpstreamUnreachable("the upstream's host name does not resolve") from error
        if not found:
            raise UpstreamUnreachable("the upstream's host name has no address")
        return found

    def _names(self, host: str, port: int) -> bool:
        bracketed = f"[{host}]" if ":" in host else host
        return not self.allow_private_hosts.isdisjoint({host, bracketed, f"{bracketed}:{port}"})


def may_dial(address: str, *, private: bool) -> bool:
    """Judge one address in text form.

    Args:
        address: IPv4 or IPv6; a zone (``%eth0``) makes it local to a link and therefore forbidden.
        private: Whether the operator named the host, which opens private and loopback addresses.
    """
    if not _is_address(address):
        return False
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return _may_dial_v4(parsed, private=private)
    if parsed.scope_id is not None or parsed in _METADATA:
        return False
    carried = _carried_addresses(parsed)
    if carried:
        return all(_may_dial_v4(inner, private=private) for inner in carried)
    if private and (parsed.is_loopback or parsed in _UNIQUE_LOCAL):
        return True
    return parsed in _GLOBAL_UNICAST and parsed.is_global


def looks_private(host: str) -> bool:
    """Whether a host may be by its looks: an address, or a name without a dot, which no public one is."""
    return "." not in host or _is_address(host)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _may_dial_v4(address: IPv4Address, *, private: bool) -> bool:
    if address in _METADATA or address.is_link_local or address.is_multicast or address in _RESERVED:
        return False
    if address.packed[0] == 0:
        return False
    if private and (address.is_private or address in _SHARED):
        return True
    return address.is_global


def _carried_addresses(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to this one end up at, however the network translates it."""
    if address in _NAT64:
        return (IPv4Address(address.packed[-4:]),)
    carried = address.ipv4_mapped or address.sixtofour
    return () if carried is None else (carried,)
