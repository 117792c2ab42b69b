"""The desk for keys: what it hands out, and what it refuses to."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from callboard.config import Config, StoreConfig
from callboard.domain.client_key import proves
from callboard.errors import ConfigurationError, NotFound
from callboard.serving.key_desk import KeyDesk, KeyOrder, has_keys, open_desk
from callboard.store import InMemoryStore

pytestmark = pytest.mark.anyio
ORDER = KeyOrder(name="ada")


def on_disk(folder: Path) -> Config:
    return Config(store=StoreConfig(url=f"sqlite:///{folder}/state.db"))


async def test_a_key_is_kept_without_its_token() -> None:
    store = InMemoryStore()
    secret, key = await KeyDesk(store, lambda: 100.9).create(replace(ORDER, days=0.5))
    token = secret.reveal()
    (kept,) = await store.keys()
    assert replace(kept, version=0) == key
    assert (key.created_at_s, key.expires_at_s, key.revoked_at_s) == (100, 100 + 43_200, None)
    assert (key.name, key.tenant) == ("ada", key.id)
    assert key.scopes == {"client"}
    assert token.endswith(key.last_four)
    assert token not in repr(secret) + repr(key)
    assert proves(token.encode(), key, await store.key_secret())
    assert token.rpartition("_")[2][:-4] not in repr(kept)


async def test_several_keys_may_share_a_tenant() -> None:
    desk = KeyDesk(InMemoryStore(), lambda: 1.0)
    keys = [(await desk.create(replace(ORDER, tenant="team")))[1] for _ in range(2)]
    assert [key.tenant for key in keys] == ["team", "team"]
    assert {key.id for key in await desk.keys()} == {key.id for key in keys}


async def test_a_key_is_revoked_by_its_id() -> None:
    desk = KeyDesk(InMemoryStore(), lambda: 7.5)
    _, key = await desk.create(ORDER)
    await desk.revoke(key.id)
    assert [each.revoked_at_s for each in await desk.keys()] == [7]
    with pytest.raises(NotFound, match="no key 'nobody'"):
        await desk.revoke("nobody")


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, name=""),
        replace(ORDER, name="a\nb"),
        replace(ORDER, tenant=" t"),
        replace(ORDER, tenant="\x1b[2J"),
        replace(ORDER, models=("g*t",)),
        replace(ORDER, models=("",)),
        replace(ORDER, tools=("",)),
        replace(ORDER, scopes=frozenset()),
    ],
)
async def test_an_order_for_what_no_key_can_be_is_refused(order: KeyOrder) -> None:
    store = InMemoryStore()
    with pytest.raises(ConfigurationError):
        await KeyDesk(store, lambda: 1.0).create(order)
    assert await store.keys() == []


async def test_a_store_in_memory_has_no_desk() -> None:
    config = Config(store=StoreConfig(url="memory:"))
    with pytest.raises(ConfigurationError, match="sqlite:///PATH"):
        async with open_desk(config, lambda: 1.0):
            raise AssertionError("it was opened")
    assert not await has_keys(config)


async def test_once_there_was_a_key_there_is_always_one(tmp_path: Path) -> None:
    config = on_disk(tmp_path)
    assert not await has_keys(config)
    async with open_desk(config, lambda: 1.0) as desk:
        _, key = await desk.create(ORDER)
        await desk.revoke(key.id)
    assert await has_keys(config)
