"""Client keys in SQLite: what changes them, and what reads them."""

from __future__ import annotations

from typing import TypeAlias, assert_never

import apsw
import msgspec
from msgspec.structs import replace

from callboard.domain.client_key import ClientKey
from callboard.errors import StoreUnavailable
from callboard.store.changes import PutKey, RevokeKey
from callboard.store.refusals import no_key, taken

KeyChange: TypeAlias = PutKey | RevokeKey

_PUT = """
INSERT INTO keys (id, changed, revoked_at_s, key)
VALUES (?, (SELECT coalesce(max(changed), 0) + 1 FROM keys), ?, ?)
ON CONFLICT (id) DO NOTHING RETURNING 1
"""
_REVOKE = """
UPDATE keys SET revoked_at_s = ?, changed = (SELECT max(changed) + 1 FROM keys)
WHERE id = ? AND revoked_at_s IS NULL
"""
_encode = msgspec.json.Encoder().encode
_KEY = msgspec.json.Decoder(ClientKey)


def apply(connection: apsw.Connection, change: KeyChange) -> None:
    """Do ``change``."""
    execute = connection.execute
    match change:
        case PutKey(key=key):
            made = execute(_PUT, (key.id, key.revoked_at_s, _encode(key))).get
            if made is None:
                raise taken("key", key.id)
        case RevokeKey(id=key_id):
            if execute("SELECT 1 FROM keys WHERE id = ?", (key_id,)).get is None:
                raise no_key(key_id)
            execute(_REVOKE, (change.revoked_at_s, key_id))
        case _:
            assert_never(change)


def changed(connection: apsw.Connection, after: int) -> list[ClientKey]:
    """As `callboard.store.store.Store.keys`."""
    rows = connection.execute(
        "SELECT key, revoked_at_s, changed FROM keys WHERE changed > ? ORDER BY changed", (after,)
    )
    return [_key_of(*row) for row in rows]


def _key_of(kept: bytes, revoked_at_s: int | None, version: int) -> ClientKey:
    try:
        key = _KEY.decode(kept)
    except msgspec.MsgspecError as error:
        raise StoreUnavailable(f"a stored key cannot be read: {error}") from error
    return replace(key, revoked_at_s=revoked_at_s, version=version)
