"""KeyKeeper: what others write to the store is known here soon, and never before work begins."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from callboard.actors.key_keeper import KeyKeeper
from callboard.domain.client_key import ClientKey
from callboard.errors import StoreUnavailable
from callboard.kernel import Child, Supervisor, open_system
from callboard.store import InMemoryStore, PutKey, RevokeKey
from callboard.store.key_register import KeyRegister
from tests.contracts.store_keys import key

pytestmark = pytest.mark.anyio


class Faltering(InMemoryStore):
    """Cannot be read as often as ``failures`` says."""

    failures = 0

    async def keys(self, after: int = 0) -> list[ClientKey]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("not now")
        return await super().keys(after)


def tree(register: KeyRegister, every_s: float) -> Supervisor:
    keeper = Child(name="key_keeper", start=partial(KeyKeeper, register, every_s=every_s))
    return Supervisor(name="root", children=(keeper,))


async def test_keys_are_known_before_anything_later_in_the_tree_starts() -> None:
    store = InMemoryStore()
    await store.commit((PutKey(key=key("a")),))
    register = KeyRegister(store, lambda: 0.0)
    with anyio.fail_after(5):
        async with open_system(tree(register, 60.0), observe=lambda _: None):
            assert register.key("a") is not None


async def test_what_changes_is_noticed_and_a_store_that_fails_meanwhile_ends_nothing() -> None:
    store = Faltering()
    store.failures = 3
    register = KeyRegister(store, lambda: 0.0)
    with anyio.fail_after(5):
        async with open_system(tree(register, 0.001), observe=lambda _: None):
            await store.commit((PutKey(key=key("a")),))
            while register.key("a") is None:
                await anyio.lowlevel.checkpoint()
            await store.commit((RevokeKey(id="a", revoked_at_s=0),))
            while register.may_spend("a"):
                await anyio.lowlevel.checkpoint()
