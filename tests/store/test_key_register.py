"""The register of keys: what it knows, when, and at what price."""

from __future__ import annotations

import anyio
import pytest

from callboard.domain.client_key import ClientKey, hash_of
from callboard.errors import CallboardError, StoreUnavailable
from callboard.store import InMemoryStore, PutKey, RevokeKey
from callboard.store.key_register import KeyRegister

pytestmark = pytest.mark.anyio
TOKEN = b"cb_aaaaaaaaaa_" + b"s" * 32


class SlowStore(InMemoryStore):
    """Counts how often keys are read; each reading waits for ``go``, and fails while ``down``."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.down = False
        self.go = anyio.Event()
        self.go.set()

    async def keys(self, after: int = 0) -> list[ClientKey]:
        self.readings += 1
        found = await super().keys(after)
        await self.go.wait()
        if self.down:
            raise StoreUnavailable("down")
        return found


async def key(store: InMemoryStore, *, expires_at_s: int | None = None) -> PutKey:
    return PutKey(
        key=ClientKey(
            id="aaaaaaaaaa",
            hash=hash_of(TOKEN, await store.key_secret()),
            name="n",
            tenant="t",
            created_at_s=0,
            expires_at_s=expires_at_s,
            last_four="ssss",
        )
    )


def who(register: KeyRegister, token: bytes = TOKEN) -> str | None:
    found = register.verified("aaaaaaaaaa", token)
    return None if found is None else found.id


async def test_nothing_is_concluded_before_the_store_was_read() -> None:
    register = KeyRegister(InMemoryStore(), lambda: 100.0)
    assert not register.loaded
    assert not register.is_empty
    await register.refresh()
    assert register.is_empty


async def test_a_key_is_known_from_the_next_refresh_on_until_it_is_revoked() -> None:
    store = InMemoryStore()
    register = KeyRegister(store, lambda: 100.0)
    await register.refresh()
    await store.commit((await key(store),))
    assert who(register) is None
    await register.refresh()
    assert not register.is_empty
    assert who(register) == "aaaaaaaaaa"
    assert who(register, TOKEN[:-1] + b"x") is None
    assert register.may_spend("aaaaaaaaaa")
    version = register.version
    await store.commit((RevokeKey(id="aaaaaaaaaa", revoked_at_s=100),))
    await register.refresh()
    assert register.version > version
    assert who(register) is None
    assert not register.may_spend("aaaaaaaaaa")
    assert not register.is_empty


async def test_a_key_expires_by_itself() -> None:
    now_s = [99.0]
    store = InMemoryStore()
    register = KeyRegister(store, lambda: now_s[0])
    await store.commit((await key(store, expires_at_s=100),))
    await register.refresh()
    assert who(register) == "aaaaaaaaaa"
    now_s[0] = 100.0
    assert who(register) is None
    assert not register.may_spend("aaaaaaaaaa")


async def test_who_needs_no_key_may_spend() -> None:
    assert KeyRegister(InMemoryStore(), lambda: 0.0).may_spend("local")


async def test_what_is_known_stays_known_while_the_store_is_down() -> None:
    store = SlowStore()
    register = KeyRegister(store, lambda: 0.0)
    await store.commit((await key(store),))
    await register.refresh()
    store.down = True
    with pytest.raises(StoreUnavailable):
        await register.refresh()
    assert who(register) == "aaaaaaaaaa"


async def test_many_that_ask_at_once_share_a_reading_that_began_after_they_asked() -> None:
    store = SlowStore()
    register = KeyRegister(store, lambda: 0.0)
    store.go = anyio.Event()
    seen: list[str | None] = []

    async def look() -> None:
        await register.refresh()
        seen.append(who(register))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(register.refresh)
            while not store.readings:
                await anyio.lowlevel.checkpoint()
            # The reading that is under way began before this; so it cannot tell of it.
            await store.commit((await key(store),))
            for _ in range(20):
                tasks.start_soon(look)
            await anyio.wait_all_tasks_blocked()
            store.go.set()
    assert seen == ["aaaaaaaaaa"] * 20
    assert store.readings == 2


async def test_a_reading_that_fails_or_is_cancelled_counts_for_nobody() -> None:
    store = SlowStore()
    register = KeyRegister(store, lambda: 0.0)
    store.go, store.down = anyio.Event(), True
    failures: list[CallboardError] = []

    async def look() -> None:
        try:
            await register.refresh()
        except StoreUnavailable as error:
            failures.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            tasks.start_soon(look)
            await anyio.wait_all_tasks_blocked()
            store.go.set()
        assert len(failures) == 2
        assert not register.loaded
        store.go, store.down = anyio.Event(), False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert not register.loaded
        store.go.set()
        await register.refresh()
    assert register.is_empty
