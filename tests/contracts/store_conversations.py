"""Conversations, their items, and replies: what every store keeps to."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from callboard.errors import AlreadyExists, CallboardError, NotFound, VersionConflict
from callboard.store import (
    AppendItems,
    Change,
    DeleteConversation,
    DeleteItem,
    FinishReply,
    ForgetReply,
    ItemRecord,
    Order,
    RememberReply,
    UpdateConversation,
)
from tests.contracts.store_world import (
    NOW,
    OTHER,
    RICH,
    StoreWorld,
    T,
    append,
    conversation,
    item,
    put,
    refused,
    reply,
)


def update(name: str, *, tenant: str = T, title: str | None = None) -> UpdateConversation:
    return UpdateConversation(tenant=tenant, id=name, title=title, updated_at_s=NOW + 5)


def drop(name: str, tenant: str = T) -> DeleteConversation:
    return DeleteConversation(tenant=tenant, id=name)


def drop_item(name: str, item_id: str, tenant: str = T) -> DeleteItem:
    return DeleteItem(tenant=tenant, conversation_id=name, item_id=item_id)


def remember(key: str, *, tenant: str = T) -> RememberReply:
    return RememberReply(reply=reply(key, tenant=tenant))


def finish(key: str, *, tenant: str = T) -> FinishReply:
    return FinishReply(
        tenant=tenant,
        key=key,
        response_id="r",
        status=200,
        content_type="application/json",
        body=b"\x00{}",
    )


class ConversationsContract(StoreWorld):
    """Conversations and replies."""

    async def test_a_conversation_comes_back_as_it_was_put(self) -> None:
        async with self.store(put("c")) as store:
            assert await store.conversation(T, "c") == conversation("c")
            assert await store.items(T, "c") == []
            for tenant in (T, OTHER):
                assert isinstance(await refused(store, put("c", tenant=tenant)), AlreadyExists)

    async def test_an_update_leaves_what_it_does_not_name(self) -> None:
        async with self.store(put("c"), append("c", 0, "i")) as store:
            await store.commit((update("c", title="New ✓"),))
            expected = replace(conversation("c"), title="New ✓", version=1, updated_at_s=NOW + 5)
            assert await store.conversation(T, "c") == expected
            await store.commit((replace(update("c"), metadata={}),))
            assert await store.conversation(T, "c") == replace(expected, metadata={})
            await store.commit((replace(update("c", title=""), metadata={"a": "b"}),))
            assert await store.conversation(T, "c") == replace(expected, title="", metadata={"a": "b"})

    async def test_items_are_numbered_in_the_order_of_their_arrival(self) -> None:
        first = ItemRecord(id="a", position=77, message=RICH[0], created_at_s=NOW - 1)
        async with self.store(put("c")) as store:
            given = AppendItems(
                conversation_id="c", expected_version=0, items=(first, item("b")), updated_at_s=NOW + 3
            )
            await store.commit((given, append("c", 2, "d", at_s=NOW + 4)))
            assert await store.items(T, "c", order="asc") == [
                replace(first, position=0),
                item("b", 1),
                item("d", 2),
            ]
            assert await store.item(T, "c", "a") == replace(first, position=0)
            now = await store.conversation(T, "c")
            assert now == replace(conversation("c"), version=3, updated_at_s=NOW + 4)

    @pytest.mark.parametrize(
        "change, kind",
        [
            (append("c", 1, "x"), VersionConflict),
            (append("c", 3, "x"), VersionConflict),
            (append("c", 2, "x", "b"), AlreadyExists),
            (append("c", 2, "x", "x"), AlreadyExists),
            (append("missing", 0, "x"), NotFound),
            (drop_item("c", "missing"), NotFound),
        ],
    )
    async def test_what_does_not_fit_changes_nothing(
        self, change: Change, kind: type[CallboardError]
    ) -> None:
        async with self.store(put("c"), append("c", 0, "a", "b")) as store:
            before = await store.check()
            assert type(await refused(store, change)) is kind
            assert await store.items(T, "c", order="asc") == [item("a"), item("b", 1)]
            assert await store.check() == before

    async def test_a_deleted_item_leaves_a_gap_that_is_not_filled(self) -> None:
        async with self.store(put("c"), append("c", 0, "a", "b", "d")) as store:
            await store.commit((drop_item("c", "b"),))
            assert await store.item(T, "c", "b") is None
            assert isinstance(await refused(store, append("c", 2, "e")), VersionConflict)
            await store.commit((append("c", 3, "b"),))
            assert await store.items(T, "c", order="asc") == [item("a"), item("d", 2), item("b", 3)]

    async def test_a_deleted_conversation_takes_its_items_along(self) -> None:
        async with self.store(put("c"), append("c", 0, "a"), drop("c")) as store:
            assert await store.conversation(T, "c") is None
            assert await store.item(T, "c", "a") is None
            report = await store.check()
            assert (report.conversations, report.bytes) == (0, 0)
            await store.commit((put("c"), append("c", 0, "a")))

    async def test_what_belongs_to_another_looks_like_what_does_not_exist(self) -> None:
        async with self.store(put("theirs", tenant=OTHER), append("theirs", 0, "i")) as store:
            for name in ("theirs", "missing"):
                assert await store.conversation(T, name) is None
                assert await store.item(T, name, "i") is None
                errors = [await refused(store, change) for change in (update(name), drop(name))]
                errors.append(await refused(store, drop_item(name, "i")))
                with pytest.raises(NotFound) as listed:
                    await store.items(T, name)
                with pytest.raises(NotFound) as paged:
                    await store.conversations(T, after=name)
                for error in (*errors, listed.value, paged.value):
                    assert type(error) is NotFound
                    assert str(error) == f"Conversation with id {name!r} not found."
            assert await store.conversations(T) == []
            assert await store.item(OTHER, "theirs", "i") == item("i")

    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_conversations_are_paged_by_their_creation(self, order: Order) -> None:
        times = {"a": 5, "b": 3, "c": 5, "d": 1, "e": 3}
        puts = [put(name, at_s=NOW + at_s) for name, at_s in times.items()]
        async with self.store(*puts, put("theirs", tenant=OTHER)) as store:
            in_order = ["d", "b", "e", "a", "c"]
            expected = in_order if order == "asc" else in_order[::-1]
            assert [each.id for each in await store.conversations(T, order=order)] == expected
            for limit in range(1, 6):
                seen: list[str] = []
                while page := await store.conversations(T, limit, seen[-1] if seen else None, order):
                    assert len(page) <= limit
                    seen.extend(each.id for each in page)
                assert seen == expected
            assert await store.conversations(T, 0) == []

    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_items_are_paged_both_ways(self, order: Order) -> None:
        async with self.store(put("c"), append("c", 0, *"abcdefg"), drop_item("c", "d")) as store:
            line = list("abcefg") if order == "asc" else list("gfecba")
            for after in (None, *line):
                for before in (None, *line):
                    low = 0 if after is None else line.index(after) + 1
                    between = line[low : None if before is None else line.index(before)]
                    for limit in (0, 1, 2, 9):
                        nearest = between[max(len(between) - limit, 0) :]
                        expected = nearest if after is None and before is not None else between[:limit]
                        page = await store.items(T, "c", limit, after, before, order)
                        assert [each.id for each in page] == expected

    @pytest.mark.parametrize("cursor", ["after", "before"])
    async def test_an_unknown_cursor_is_refused(self, cursor: str) -> None:
        async with self.store(put("c"), put("d"), append("c", 0, "a"), append("d", 0, "x")) as store:
            for name in ("missing", "x"):
                with pytest.raises(NotFound, match=f"Item with id '{name}' not found"):
                    await store.items(
                        T,
                        "c",
                        after=name if cursor == "after" else None,
                        before=name if cursor == "before" else None,
                    )

    # Replies.

    async def test_a_key_is_taken_once_for_each_tenant(self) -> None:
        async with self.store(remember("k"), remember("k", tenant=OTHER)) as store:
            assert await store.reply(T, "k") == reply("k")
            assert isinstance(await refused(store, remember("k")), AlreadyExists)
            assert await store.reply(T, "free") is None

    async def test_a_reply_is_kept_byte_for_byte(self) -> None:
        async with self.store(remember("k"), remember("k", tenant=OTHER), finish("k")) as store:
            assert await store.reply(T, "k") == replace(
                reply("k"),
                response_id="r",
                status=200,
                content_type="application/json",
                body=b"\x00{}",
            )
            assert await store.reply(OTHER, "k") == reply("k", tenant=OTHER)

    async def test_a_forgotten_key_is_free_again(self) -> None:
        async with self.store(remember("k"), remember("k", tenant=OTHER)) as store:
            await store.commit((ForgetReply(tenant=T, key="k"), ForgetReply(tenant=T, key="k")))
            assert await store.reply(T, "k") is None
            assert await store.reply(OTHER, "k") is not None
            assert type(await refused(store, finish("k"))) is NotFound
            await store.commit((remember("k"),))
