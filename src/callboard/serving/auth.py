"""Who is asking, and whether we may answer: host and origin checks, and the principal of a request.

This release knows no client keys, so it serves loopback only, unless the operator says otherwise in so many
words. On loopback the threat is a web page in the operator's own browser: the ``Host`` allow-list stops names
that were re-bound to 127.0.0.1, and the ``Origin`` check stops pages from posting across origins.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from msgspec import Struct

from callboard.errors import ConfigurationError, Misdirected, PermissionDenied
from callboard.serving.exchange import Exchange

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
REMEMBERED_HOSTS = 256
"""Values of ``Host`` that were found to be ours; each client sends the same one over and over."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Principal(Struct, frozen=True, kw_only=True):
    """Whose limits, history and tools apply.

    Attributes:
        key: Name of the client key; ``local`` for callers on loopback.
    """

    key: str


LOCAL = Principal(key="local")


class Doorkeeper:
    """Decides for each request whether it may come in.

    Args:
        hosts: Names and addresses accepted in ``Host``, besides loopback names.
    """

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._any_host = "*" in hosts
        self._welcome: set[bytes] = set()

    def admit(self, exchange: Exchange) -> Principal:
        """The principal of a request. A page may open a WebSocket anywhere, and then read what comes.

        Raises:
            Misdirected: Its ``Host`` is not ours.
            PermissionDenied: It comes from a page of another origin.
        """
        headers = exchange.headers
        host = headers.get(b"host", b"")
        if host not in self._welcome:
            self._check_host(host)
        from_a_page = b"origin" in headers or b"sec-fetch-site" in headers
        if from_a_page and (exchange.method not in SAFE_METHODS or exchange.opens_socket):
            self._check_origin(exchange, host)
        return LOCAL

    def _check_host(self, host: bytes) -> None:
        if not host or not (self._any_host or _name(host) in self._hosts):
            raise Misdirected(
                "This server does not answer for that host; [server] allowed_hosts names those it does."
            )
        if len(self._welcome) < REMEMBERED_HOSTS:
            self._welcome.add(host)

    def _check_origin(self, exchange: Exchange, host: bytes) -> None:
        if exchange.header(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            raise PermissionDenied("Requests from other origins are not accepted.")
        origin = exchange.header(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.encode() != host:
            raise PermissionDenied("Requests from other origins are not accepted.")


def check_listen_address(host: str, *, insecure: bool) -> None:
    """Refuse to serve a network without authentication.

    Raises:
        ConfigurationError: ``host`` is not loopback and the operator did not insist.
    """
    if insecure or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(
            f"refusing to listen on {host} without client keys: anybody who can reach it could spend your "
            "money. Listen on 127.0.0.1, or pass --insecure-no-auth if something before it authenticates."
        )


def _name(host: bytes) -> str:
    """The name in a ``Host`` header, without its port, in lower case; empty where it is malformed."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        return name + bracket if bracket and (not rest or rest.startswith(":")) else ""
    name, _, port = text.partition(":")
    return name if not port or port.isdigit() else ""
