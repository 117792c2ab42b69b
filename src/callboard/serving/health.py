"""Is it alive, can it serve, what is it: three small answers."""

from __future__ import annotations

import msgspec

from callboard.serving.visit import Visit

GREETING = msgspec.json.encode({"message": "Callboard is running."})
ALIVE = msgspec.json.encode({"status": "ok", "adapter": "running"})
READY = msgspec.json.encode({"status": "ready"})
NOT_READY = msgspec.json.encode({"status": "unavailable"})


async def root(visit: Visit) -> None:
    """``GET /``."""
    await visit.exchange.respond(200, GREETING)


async def health(visit: Visit) -> None:
    """``GET /health``: the process lives. Nothing about what is behind it."""
    await visit.exchange.respond(200, ALIVE)


async def ready(visit: Visit) -> None:
    """``GET /ready``: 200 while work is admitted, 503 while starting or draining."""
    if visit.house.ready():
        await visit.exchange.respond(200, READY)
    else:
        await visit.exchange.respond(503, NOT_READY, headers=[(b"retry-after", b"1")])
