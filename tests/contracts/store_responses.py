"""Responses, their logs and chains: what every store keeps to."""

from __future__ import annotations

import anyio
import pytest
from msgspec.structs import replace

from callboard.errors import AlreadyExists, UnknownResponse, VersionConflict
from callboard.store import (
    AppendEvents,
    BeginResponse,
    Change,
    DeleteResponse,
    RememberReply,
    Segment,
    Store,
)
from tests.contracts.store_world import (
    NOW,
    OTHER,
    RICH,
    StoreWorld,
    T,
    append,
    begin,
    end,
    found,
    link,
    put,
    refused,
    reply,
    said,
    segment,
    turn,
)


def more(name: str, version: int, count: int = 1) -> AppendEvents:
    return AppendEvents(response_id=name, expected_version=version, segment=segment(version, count))


def delete(name: str, tenant: str = T) -> DeleteResponse:
    return DeleteResponse(tenant=tenant, id=name)


async def names(store: Store, name: str) -> list[str]:
    return [each.id for each in await store.chain(T, name)]


async def is_empty(store: Store) -> bool:
    report = await store.check()
    return (report.responses, report.bytes) == (0, 0)


class ResponsesContract(StoreWorld):
    """Responses."""

    async def test_a_response_comes_back_as_it_was_given(self) -> None:
        record = replace(
            turn("r"), background=True, conversation_id="c", input=RICH, produced=RICH, request=b"\x00\xff{"
        )
        async with self.store(BeginResponse(record=record, segments=(segment(0, 2), segment(2)))) as store:
            assert await found(store, "r") == replace(record, version=3)
            assert await store.segments("r") == [segment(0, 2), segment(2)]
            (only,) = await store.chain(T, "r")
            assert (only.input, only.produced) == (RICH, RICH)

    async def test_only_a_live_response_has_an_owner(self) -> None:
        async with self.store(begin("live", status="queued"), begin("done")) as store:
            live, done = await store.response(T, "live"), await store.response(T, "done")
            assert live is not None
            assert done is not None
            assert live.owner == store.owner
            assert not done.owner
            await store.commit((replace(end("live", 0), segment=segment(0)),))
            live = await store.response(T, "live")
            assert live is not None
            assert not live.owner

    async def test_a_log_grows_and_its_response_with_it(self) -> None:
        async with self.store(begin("r", segment(0), status="queued")) as store:
            await store.commit((replace(more("r", 1, 3), status="in_progress"),))
            now = await found(store, "r")
            assert (now.version, now.status, now.finished_at_s) == (4, "in_progress", None)
            await store.commit((more("r", 4),))
            assert await found(store, "r") == replace(now, version=5)
            assert await store.segments("r") == [segment(0), segment(1, 3), segment(4)]

    async def test_an_end_is_the_last_of_it(self) -> None:
        async with self.store(begin("r", status="in_progress")) as store:
            await store.commit((replace(end("r", 0, status="incomplete", at_s=NOW + 9), produced=RICH),))
            ended = await found(store, "r")
            assert (ended.status, ended.produced, ended.finished_at_s) == ("incomplete", RICH, NOW + 9)
            assert ended.version == 1
            for change in (more("r", 1), end("r", 1), replace(end("r", 1), segment=None)):
                assert isinstance(await refused(store, change), VersionConflict)
            assert await found(store, "r") == ended

    async def test_a_response_can_end_without_an_event(self) -> None:
        async with self.store(begin("r", segment(0), status="in_progress")) as store:
            await store.commit((replace(end("r", 1), segment=None),))
            assert (await found(store, "r")).version == 1
            assert await store.segments("r") == [segment(0)]

    @pytest.mark.parametrize(
        "change",
        [
            more("r", 1),
            more("r", 3),
            end("r", 1),
            AppendEvents(response_id="r", expected_version=2, segment=segment(3)),
            AppendEvents(response_id="r", expected_version=2, segment=segment(1)),
            begin("other", segment(1)),
            begin("other", segment(0, 2), segment(1)),
            begin("other", segment(0, 2), segment(3)),
            begin("r", segment(1)),
            AppendEvents(response_id="missing", expected_version=0, segment=segment(1)),
        ],
    )
    async def test_what_does_not_continue_a_log_is_refused_and_changes_nothing(self, change: Change) -> None:
        async with self.store(begin("r", segment(0, 2), status="in_progress")) as store:
            before = await found(store, "r")
            assert isinstance(await refused(store, change), VersionConflict)
            assert await found(store, "r") == before
            assert await store.segments("r") == [segment(0, 2)]
            assert await store.response(T, "other") is None

    async def test_a_log_is_read_from_any_event_on(self) -> None:
        log = [segment(0, 3), segment(3, 1), segment(4, 2), segment(6, 4)]
        async with self.store(begin("r", *log)) as store:
            for after in range(-2, 12):
                rest = [
                    each for each in log if any(n > after for n in range(each.first, each.first + each.count))
                ]
                assert await store.segments("r", after) == rest
                for limit in range(5):
                    assert await store.segments("r", after, limit) == rest[:limit]
            assert await store.segments("missing") == []

    @pytest.mark.parametrize("tenant", [T, OTHER])
    async def test_an_id_is_taken_once_whoever_has_it(self, tenant: str) -> None:
        async with self.store(begin("r")) as store:
            assert isinstance(await refused(store, begin("r", tenant=tenant)), AlreadyExists)
            assert await found(store, "r") == turn("r")

    # Chains.

    async def test_a_chain_is_the_way_from_the_root(self) -> None:
        tree = (begin("a"), begin("b", previous="a"), begin("c", previous="b"), begin("b2", previous="a"))
        async with self.store(*tree, begin("d")) as store:
            assert await store.chain(T, "c") == (link("a"), link("b"), link("c"))
            assert await store.chain(T, "b2") == (link("a"), link("b2"))
            assert await names(store, "d") == ["d"]
            assert (await found(store, "c")).previous_id == "b"

    async def test_a_long_chain_comes_whole(self) -> None:
        turns = [begin(f"r{n}", previous=f"r{n - 1}" if n else None) for n in range(1_500)]
        async with self.store(*turns) as store:
            assert await names(store, "r1499") == [f"r{n}" for n in range(1_500)]

    async def test_a_live_turn_has_produced_nothing_yet(self) -> None:
        async with self.store(begin("r", status="in_progress")) as store:
            assert [each.produced for each in await store.chain(T, "r")] == [()]

    async def test_what_belongs_to_another_looks_like_what_does_not_exist(self) -> None:
        async with self.store(begin("theirs", tenant=OTHER)) as store:
            for name in ("theirs", "missing"):
                assert await store.response(T, name) is None
                with pytest.raises(UnknownResponse) as chain:
                    await store.chain(T, name)
                for error in (
                    chain.value,
                    await refused(store, delete(name)),
                    await refused(store, begin("mine", previous=name)),
                ):
                    assert type(error) is UnknownResponse
                    assert str(error) == f"Response with id {name!r} not found."
            assert await found(store, "theirs", OTHER) == turn("theirs", tenant=OTHER)

    # Deletion.

    async def test_a_deleted_response_is_gone_with_its_log_and_its_replies(self) -> None:
        async with self.store(
            begin("r", segment(0)), RememberReply(reply=reply("k", response_id="r")), delete("r")
        ) as store:
            assert await store.response(T, "r") is None
            assert await store.segments("r") == []
            assert await store.reply(T, "k") is None
            assert isinstance(await refused(store, delete("r")), UnknownResponse)
            assert await is_empty(store)
            await store.commit((begin("r"),))

    async def test_a_response_deleted_in_the_middle_stays_for_the_chains_that_need_it_only(self) -> None:
        async with self.store(
            begin("a"),
            begin("b", segment(0), previous="a"),
            begin("c", previous="b"),
            delete("b"),
        ) as store:
            assert await store.response(T, "b") is None
            assert await store.segments("b") == []
            for error in (
                await refused(store, delete("b")),
                await refused(store, begin("d", previous="b")),
                await refused(store, more("b", 1)),
            ):
                assert type(error) is UnknownResponse
            with pytest.raises(UnknownResponse):
                await store.chain(T, "b")
            assert isinstance(await refused(store, begin("b")), AlreadyExists)
            assert await store.chain(T, "c") == (link("a"), link("b"), link("c"))
            assert (await found(store, "c")).previous_id == "b"
            assert (await store.check()).responses == 2

    async def test_what_was_kept_for_a_chain_goes_with_the_last_that_needed_it(self) -> None:
        async with self.store(
            begin("a"),
            begin("b", previous="a"),
            begin("c", previous="b"),
            begin("c2", previous="b"),
            delete("a"),
            delete("b"),
            delete("c"),
        ) as store:
            assert await names(store, "c2") == ["a", "b", "c2"]
            await store.commit((delete("c2"),))
            assert await is_empty(store)
            await store.commit((begin("a"), begin("b")))

    async def test_a_kept_parent_survives_its_children(self) -> None:
        async with self.store(begin("a"), begin("b", previous="a"), delete("b")) as store:
            assert await names(store, "a") == ["a"]
            await store.commit((delete("a"),))
            assert await is_empty(store)

    async def test_a_live_response_that_is_deleted_finds_out_when_it_goes_on(self) -> None:
        async with self.store(begin("r", status="in_progress"), delete("r")) as store:
            for change in (more("r", 0), end("r", 0)):
                assert isinstance(await refused(store, change), UnknownResponse)

    async def test_a_live_response_deleted_below_another_contributes_what_it_had(self) -> None:
        async with self.store(
            begin("a", status="in_progress"), begin("b", previous="a"), delete("a")
        ) as store:
            assert isinstance(await refused(store, end("a", 0)), UnknownResponse)
            assert [each.produced for each in await store.chain(T, "b")] == [(), said("B")]

    # Commits.

    @pytest.mark.parametrize(
        "changes",
        [
            (begin("new"),),
            (more("live", 0),),
            (more("live", 0), end("live", 1)),
            (delete("leaf"),),
            (delete("a"), delete("leaf")),
            (put("c"), append("c", 0, "i"), append("c", 1, "j")),
            (RememberReply(reply=reply("k")),),
            (begin("new", previous="leaf"), delete("leaf"), delete("new")),
        ],
    )
    async def test_a_commit_that_fails_in_the_end_has_done_nothing(self, changes: tuple[Change, ...]) -> None:
        async with self.store(
            begin("a"), begin("leaf", segment(0), previous="a"), begin("live", status="in_progress")
        ) as store:
            before = await _everything(store)
            assert isinstance(await refused(store, *changes, begin("live")), AlreadyExists)
            assert await _everything(store) == before
            await store.commit(changes)
            assert (await store.check()).problems == ()

    async def test_of_many_commits_made_together_each_stands_for_itself(self) -> None:
        async with self.store(begin("a")) as store:
            outcomes = await store.commit_all(
                (
                    (begin("b"),),
                    (begin("c"), begin("a")),
                    (),
                    (begin("d", previous="b"),),
                    (delete("missing"),),
                    (begin("e", previous="c"),),
                )
            )
            kinds = [None if each is None else type(each) for each in outcomes]
            assert kinds == [None, AlreadyExists, None, None, UnknownResponse, UnknownResponse]
            assert [name for name in "abcde" if await store.response(T, name)] == ["a", "b", "d"]
            assert await store.commit_all(()) == []

    async def test_commits_from_everywhere_are_all_done(self) -> None:
        async with self.store(begin("log", status="in_progress")) as store:
            won: list[int] = []

            async def commit(number: int) -> None:
                await store.commit((begin(f"r{number}"),))
                try:
                    await store.commit((more("log", 0),))
                except VersionConflict:
                    return
                won.append(number)

            async with anyio.create_task_group() as tasks:
                for number in range(40):
                    tasks.start_soon(commit, number)
            assert len(won) == 1
            assert (await store.check()).responses == 41

    async def test_a_cancelled_commit_is_done_whole_or_not_at_all(self) -> None:
        async with self.store() as store:
            for number in range(30):
                async with anyio.create_task_group() as tasks:
                    for part in range(3):
                        name = f"{number}.{part}"
                        tasks.start_soon(store.commit, (begin(name), begin(f"{name}+", previous=name)))
                    for _ in range(number % 6):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
            await store.commit((begin("last"),))
            report = await store.check()
            assert report.responses % 2 == 1
            for number in range(30):
                for part in range(3):
                    name = f"{number}.{part}"
                    both = [await store.response(T, name), await store.response(T, f"{name}+")]
                    assert both.count(None) in (0, 2)

    async def test_ending_is_no_matter_of_appending_and_segments_hold_something(self) -> None:
        with pytest.raises(ValueError, match="EndResponse"):
            replace(more("r", 0), status="completed")
        with pytest.raises(ValueError, match="has ended"):
            end("r", 0, status="queued")
        for first, count in ((-1, 1), (0, 0)):
            with pytest.raises(ValueError, match="at least one event"):
                Segment(first=first, count=count, payload=b"")


async def _everything(store: Store) -> object:
    known = ("a", "leaf", "live", "new")
    return (
        [await store.response(T, name) for name in known],
        [await store.segments(name) for name in known],
        await store.conversation(T, "c"),
        await store.reply(T, "k"),
        await store.check(),
    )
