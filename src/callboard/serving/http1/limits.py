"""What one client may take of us."""

from __future__ import annotations

from msgspec import Struct


class ListenLimits(Struct, frozen=True, kw_only=True):
    """What one client may take of us, and all of them together.

    Attributes:
        header_s: From the first byte of a connection or of a further request to the end of its head.
        body_idle_s: The longest pause within a body.
        keep_alive_s: How long a connection may be idle between two requests.
        send_idle_s: How long a client may read nothing of what we have for it.
        ping_s: How long the client of a WebSocket may be silent before it is pinged, and then before it is
            taken for gone.
        header_bytes: Request line and header fields together.
        header_count: Header fields.
        pipelined: Requests that may wait behind the one in work before the socket is no longer read.
        connections: Open at the same time, all clients together.
        connections_per_address: The same for one client (`callboard.serving.http1.addresses`).
        trusted_proxies: Addresses and networks that speak for many clients.
    """

    header_s: float = 10.0
    body_idle_s: float = 30.0
    keep_alive_s: float = 5.0
    send_idle_s: float = 60.0
    ping_s: float = 20.0
    header_bytes: int = 32 * 1024
    header_count: int = 100
    pipelined: int = 16
    connections: int = 4096
    connections_per_address: int = 1024
    trusted_proxies: tuple[str, ...] = ()
