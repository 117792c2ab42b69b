"""Keys for a running company, made as an operator makes them."""

from __future__ import annotations

import time

from callboard.domain.client_key import ClientKey
from callboard.runtime import Runtime
from callboard.serving.key_desk import KeyDesk, KeyOrder

LONG_AGO_S = 1_000_000.0


def desk_of(runtime: Runtime, now_s: float | None = None) -> KeyDesk:
    """The desk over the runtime's own store, as another process would have it."""
    return KeyDesk(runtime.wiring.store, time.time if now_s is None else lambda: now_s)


async def make_key(runtime: Runtime, order: KeyOrder | None = None) -> tuple[str, ClientKey]:
    """A token, and the key it is of."""
    token, key = await desk_of(runtime).create(order or KeyOrder(name="test"))
    return token.reveal(), key


async def expired_key(runtime: Runtime) -> str:
    """The token of a key whose time was over long ago."""
    token, _ = await desk_of(runtime, LONG_AGO_S).create(KeyOrder(name="old", days=1))
    return token.reveal()


async def revoked_key(runtime: Runtime) -> str:
    """The token of a key that was revoked, and of which the runtime knows that."""
    token, key = await make_key(runtime)
    await desk_of(runtime).revoke(key.id)
    await runtime.wiring.keys.refresh()
    return token


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"authorization": f"Bearer {token}"}
