"""Retention, orphans and reports: what every store keeps to."""

from __future__ import annotations

import anyio
import pytest

from callboard.errors import UnknownResponse
from callboard.store import (
    Change,
    DeleteResponse,
    RememberReply,
    ResponseRecord,
    RetentionPolicy,
    Store,
)
from callboard.store.sizes import size_of_item, size_of_messages
from tests.contracts.store_world import (
    NOW,
    StoreWorld,
    T,
    append,
    begin,
    end,
    item,
    put,
    reply,
    segment,
    turn,
)

# Four trees, by their last activity: a (10, one turn), b (20, two turns), c (30), d (5, but continued at 40);
# and two conversations, x (15) and y (35).
KEPT: tuple[Change, ...] = (
    begin("a", at_s=NOW + 10),
    begin("b", at_s=NOW + 1),
    begin("b2", previous="b", at_s=NOW + 20),
    begin("c", at_s=NOW + 30),
    begin("d", at_s=NOW + 5),
    begin("d2", previous="d", at_s=NOW + 40),
    put("x", at_s=NOW + 2),
    append("x", 0, "i", at_s=NOW + 15),
    put("y", at_s=NOW + 35),
)


def size_of(record: ResponseRecord) -> int:
    return len(record.request) + size_of_messages(record.input) + size_of_messages(record.produced)


def policy(**bounds: int) -> RetentionPolicy:
    return RetentionPolicy(**bounds)


async def what_is_left(store: Store) -> str:
    responses = [name for name in ("a", "b", "b2", "c", "d", "d2") if await store.response(T, name)]
    return " ".join((*responses, *sorted(each.id for each in await store.conversations(T))))


class UpkeepContract(StoreWorld):
    """Upkeep."""

    @pytest.mark.parametrize(
        "kept, left",
        [
            (policy(), "a b b2 c d d2 x y"),
            (policy(max_age_s=90), "a b b2 c d d2 x y"),
            (policy(max_age_s=89), "b b2 c d d2 x y"),
            (policy(max_age_s=80), "b b2 c d d2 y"),
            (policy(max_age_s=79), "c d d2 y"),
            (policy(max_age_s=0), ""),
            (policy(max_responses=6), "a b b2 c d d2 x y"),
            (policy(max_responses=5), "b b2 c d d2 x y"),
            (policy(max_responses=4), "c d d2 x y"),
            (policy(max_responses=3), "c d d2 x y"),
            (policy(max_responses=2), "d d2 x y"),
            (policy(max_responses=1), "x y"),
            (policy(max_conversations=1), "a b b2 c d d2 y"),
            (policy(max_conversations=0), "a b b2 c d d2"),
            (policy(max_bytes=0), ""),
            (policy(max_responses=3, max_age_s=65), "d d2 y"),
            (policy(max_responses=0, max_conversations=0), ""),
        ],
    )
    async def test_the_oldest_goes_first_and_as_a_whole(self, kept: RetentionPolicy, left: str) -> None:
        async with self.store(*KEPT) as store:
            gone = await store.prune(kept, NOW + 100)
            assert await what_is_left(store) == left
            assert gone == 6 - (await store.check()).responses
            assert await store.prune(kept, NOW + 100) == 0

    async def test_bytes_are_those_of_everything_that_is_kept(self) -> None:
        size = size_of(turn("a"))
        async with self.store(*KEPT) as store:
            total = (await store.check()).bytes
            sizes = [size_of(turn(name)) for name in ("a", "b", "b2", "c", "d", "d2")]
            assert total == sum(sizes) + size_of_item(item("i"))
            assert await store.prune(policy(max_bytes=total), NOW) == 0
            assert await store.prune(policy(max_bytes=total - 1), NOW) == 1
            assert (await store.check()).bytes == total - size
            # The next to go is the conversation x, whose item alone is enough.
            assert await store.prune(policy(max_bytes=total - size - 1), NOW) == 0
            assert await what_is_left(store) == "b b2 c d d2 y"

    async def test_bytes_follow_every_change(self) -> None:
        async with self.store(begin("r", segment(0, text="12345"), status="in_progress")) as store:
            empty = size_of(turn("r", status="in_progress"))
            assert (await store.check()).bytes == empty + 5
            await store.commit((end("r", 1),))
            assert (await store.check()).bytes == size_of(turn("r")) + 5 + len(segment(1).payload)
            await store.commit((begin("s", previous="r"), DeleteResponse(tenant=T, id="r")))
            record = turn("r")
            kept = size_of_messages(record.input) + size_of_messages(record.produced)
            assert (await store.check()).bytes == kept + size_of(turn("s"))

    async def test_a_tree_with_a_live_response_stays(self) -> None:
        async with self.store(
            begin("a"), begin("b", previous="a", status="in_progress"), begin("c", at_s=NOW + 50)
        ) as store:
            assert await store.prune(policy(max_responses=0, max_age_s=0), NOW + 1000) == 1
            assert await what_is_left(store) == "a b"
            await store.commit((end("b", 0, at_s=NOW + 60),))
            assert await store.prune(policy(max_age_s=40), NOW + 100) == 0
            assert await store.prune(policy(max_age_s=39), NOW + 100) == 2

    async def test_what_is_kept_for_a_chain_goes_with_its_tree_and_is_not_counted(self) -> None:
        async with self.store(
            begin("a", status="in_progress"),
            begin("b", previous="a", at_s=NOW + 1),
            DeleteResponse(tenant=T, id="a"),
        ) as store:
            assert await store.prune(policy(max_responses=1), NOW) == 0
            assert await store.prune(policy(max_responses=0), NOW) == 1
            assert (await store.check()).bytes == 0
            with pytest.raises(UnknownResponse):
                await store.chain(T, "b")
            await store.commit((begin("a"), begin("b")))

    async def test_replies_go_by_their_age_and_with_their_response(self) -> None:
        replies = [
            RememberReply(reply=reply("old", at_s=NOW)),
            RememberReply(reply=reply("young", at_s=NOW + 1)),
            RememberReply(reply=reply("of r", at_s=NOW + 50, response_id="r")),
        ]
        async with self.store(begin("r"), *replies) as store:
            await store.prune(RetentionPolicy(max_reply_age_s=None), NOW + 10**9)
            assert await store.reply(T, "old") is not None
            await store.prune(RetentionPolicy(max_responses=0, max_reply_age_s=99), NOW + 100)
            left = [key for key in ("old", "young", "of r") if await store.reply(T, key)]
            assert left == ["young"]
            await store.prune(RetentionPolicy(), NOW + 1 + 86_401)
            assert await store.reply(T, "young") is None

    async def test_much_is_pruned_while_commits_go_on(self) -> None:
        async with self.store(*(begin(f"r{n}") for n in range(300))) as store:
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(store.commit, (begin(f"new{number}", at_s=NOW + 9),))
                assert await store.prune(policy(max_age_s=5), NOW + 10) == 300
            assert (await store.check()).responses == 20

    async def test_the_living_are_no_orphans(self) -> None:
        async with self.store(begin("r", status="in_progress")) as store:
            assert await store.claim_orphans() == []

    async def test_those_that_are_adrift_are_claimed_where_they_are_live(self) -> None:
        async with self.store(
            begin("old", status="in_progress"),
            begin("new", status="queued", at_s=NOW + 1),
            begin("over"),
            begin("gone", status="in_progress"),
            begin("on gone", previous="gone"),
            DeleteResponse(tenant=T, id="gone"),
        ) as store:
            adrift = ("new", "over", "gone", "never", "old")
            claimed = await store.claim_orphans(0, adrift=adrift)
            assert claimed == [await store.response(T, name) for name in ("old", "new")]
            await store.commit((end("old", 0),))
            assert [each.id for each in await store.claim_orphans(adrift=adrift)] == ["new"]
            assert await store.claim_orphans(adrift=()) == []
