"""Client keys: what every store keeps to."""

from __future__ import annotations

from decimal import Decimal

import anyio
from msgspec.structs import replace

from callboard.domain.client_key import Allowance, ClientKey
from callboard.errors import AlreadyExists, NotFound
from callboard.store import PutKey, RetentionPolicy, RevokeKey, Store
from tests.contracts.store_world import NOW, StoreWorld, begin, refused


def key(name: str, *, hash: bytes = b"#") -> ClientKey:
    """A key with something in each field."""
    return ClientKey(
        id=name,
        hash=hash,
        name=f"Ünïcode {name}",
        tenant="t",
        scopes=frozenset({"client", "monitor"}),
        created_at_s=NOW,
        expires_at_s=NOW + 5,
        last_four="wxyz",
        allowance=Allowance(requests_per_minute=3, cost_per_day_usd=Decimal("0.10")),
        models=("gpt-*",),
        tools=(),
    )


async def known(store: Store, after: int = 0) -> list[ClientKey]:
    """The keys as they were put."""
    return [replace(each, version=0) for each in await store.keys(after=after)]


class KeysContract(StoreWorld):
    """Keys."""

    async def test_a_key_is_kept_whole(self) -> None:
        async with self.store(PutKey(key=key("a"))) as store:
            assert await known(store) == [key("a")]

    async def test_no_two_keys_have_one_id(self) -> None:
        async with self.store(PutKey(key=key("a"))) as store:
            other = PutKey(key=key("a", hash=b"other"))
            assert isinstance(await refused(store, PutKey(key=key("b")), other), AlreadyExists)
            assert await known(store) == [key("a")]

    async def test_who_asks_again_is_told_what_has_changed_since(self) -> None:
        async with self.store(PutKey(key=key("a")), PutKey(key=key("b")), PutKey(key=key("c"))) as store:
            first = await store.keys()
            assert [each.id for each in first] == ["a", "b", "c"]
            assert await store.keys(after=first[-1].version) == []
            assert [each.id for each in await store.keys(after=first[0].version)] == ["b", "c"]
            await store.commit((RevokeKey(id="b", revoked_at_s=NOW + 1),))
            await store.commit((PutKey(key=key("d")),))
            news = await store.keys(after=first[-1].version)
            assert [(each.id, each.revoked_at_s) for each in news] == [("b", NOW + 1), ("d", None)]

    async def test_a_key_is_revoked_once_and_there_must_be_one(self) -> None:
        async with self.store(PutKey(key=key("a")), RevokeKey(id="a", revoked_at_s=NOW + 1)) as store:
            (before,) = await store.keys()
            await store.commit((RevokeKey(id="a", revoked_at_s=NOW + 2),))
            assert (
                await store.keys()
                == [before]
                == [replace(key("a"), revoked_at_s=NOW + 1, version=before.version)]
            )
            assert isinstance(await refused(store, RevokeKey(id="b", revoked_at_s=NOW)), NotFound)

    async def test_keys_outlive_retention(self) -> None:
        async with self.store(PutKey(key=key("a")), begin("r")) as store:
            policy = RetentionPolicy(max_age_s=0, max_responses=0, max_bytes=0, max_reply_age_s=0)
            assert await store.prune(policy, NOW + 10**9) == 1
            assert await known(store) == [key("a")]

    async def test_many_that_change_keys_at_once_lose_nothing_of_each_other(self) -> None:
        names = [f"k{number}" for number in range(30)]
        async with self.store(*(PutKey(key=key(name)) for name in names[:10])) as store:
            async with anyio.create_task_group() as tasks:
                for name in names[:10]:
                    tasks.start_soon(store.commit, (RevokeKey(id=name, revoked_at_s=NOW),))
                for name in names[10:]:
                    tasks.start_soon(store.commit, (PutKey(key=key(name)),))
            kept = await store.keys()
            assert sorted(each.id for each in kept) == sorted(names)
            assert len({each.version for each in kept}) == len(names)
            assert {each.id for each in kept if each.revoked_at_s is not None} == set(names[:10])

    async def test_the_secret_for_hashes_stays_the_same_and_is_long(self) -> None:
        async with self.store() as store:
            found: list[bytes] = []

            async def ask() -> None:
                found.append(await store.key_secret())

            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(ask)
            assert len(set(found)) == 1
            assert len(found[0]) == 32
        async with self.store() as other:
            assert await other.key_secret() not in found
