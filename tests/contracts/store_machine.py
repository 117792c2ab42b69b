"""A store against `tests.contracts.store_model`, by random commits, deletions, pruning and reopening."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack

import anyio.from_thread
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from callboard.errors import CallboardError, NotFound, UnknownResponse
from callboard.store import (
    AppendEvents,
    BeginResponse,
    Change,
    DeleteConversation,
    DeleteItem,
    DeleteResponse,
    FinishReply,
    ForgetReply,
    PutKey,
    RememberReply,
    RetentionPolicy,
    RevokeKey,
    Store,
    UpdateConversation,
)
from tests.contracts.store_keys import key
from tests.contracts.store_model import Model
from tests.contracts.store_world import NOW, OTHER, T, append, end, put, reply, segment, turn

NAMES = st.sampled_from("abcdef")
TALKS = st.sampled_from("xy")
TENANTS = st.sampled_from([T, T, T, OTHER])
TIMES = st.integers(NOW, NOW + 30)
VERSIONS = st.integers(0, 3)
BOUNDS = st.none() | st.integers(0, 4)

BEGUN = st.builds(
    lambda name, tenant, previous, live, at_s, count: BeginResponse(
        record=turn(
            name,
            tenant=tenant,
            previous=previous,
            status="in_progress" if live else "completed",
            at_s=at_s,
        ),
        segments=tuple(segment(number) for number in range(count)),
    ),
    NAMES,
    TENANTS,
    st.none() | NAMES,
    st.booleans(),
    TIMES,
    st.integers(0, 2),
)
APPENDED = st.builds(
    lambda name, version, count: AppendEvents(
        response_id=name, expected_version=version, segment=segment(version, count)
    ),
    NAMES,
    VERSIONS,
    st.integers(1, 2),
)
ENDED = st.builds(lambda name, version, at_s: end(name, version, at_s=at_s), NAMES, VERSIONS, TIMES)
DELETED = st.builds(lambda tenant, name: DeleteResponse(tenant=tenant, id=name), TENANTS, NAMES)
TALKED = st.one_of(
    st.builds(lambda name, tenant, at_s: put(name, tenant=tenant, at_s=at_s), TALKS, TENANTS, TIMES),
    st.builds(
        lambda name, version, items, at_s: append(name, version, *items, at_s=at_s),
        TALKS,
        VERSIONS,
        st.lists(NAMES, min_size=1, max_size=2),
        TIMES,
    ),
    st.builds(
        lambda tenant, name, title, at_s: UpdateConversation(
            tenant=tenant, id=name, title=title, updated_at_s=at_s
        ),
        TENANTS,
        TALKS,
        st.sampled_from([None, "", "Ü"]),
        TIMES,
    ),
    st.builds(
        lambda tenant, name, item: DeleteItem(tenant=tenant, conversation_id=name, item_id=item),
        TENANTS,
        TALKS,
        NAMES,
    ),
    st.builds(lambda tenant, name: DeleteConversation(tenant=tenant, id=name), TENANTS, TALKS),
)
REPLIED = st.one_of(
    st.builds(
        lambda key, tenant, at_s: RememberReply(reply=reply(key, tenant=tenant, at_s=at_s)),
        TALKS,
        TENANTS,
        TIMES,
    ),
    st.builds(
        lambda tenant, key, name: FinishReply(
            tenant=tenant, key=key, response_id=name, status=200, content_type="x", body=b"y"
        ),
        TENANTS,
        TALKS,
        NAMES,
    ),
    st.builds(lambda tenant, key: ForgetReply(tenant=tenant, key=key), TENANTS, TALKS),
)
KEYED = st.one_of(
    st.builds(lambda name: PutKey(key=key(name)), TALKS),
    st.builds(lambda name, at_s: RevokeKey(id=name, revoked_at_s=at_s), TALKS, TIMES),
)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    BEGUN, BEGUN, APPENDED, ENDED, DELETED, TALKED, TALKED, REPLIED, KEYED
)
BATCHES = st.lists(st.lists(CHANGES, max_size=3), min_size=1, max_size=3)


class StoreMachine(RuleBasedStateMachine):
    """Drives both, and compares everything that can be read after each step."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[Store]]) -> None:
        super().__init__()
        self._cleanup = ExitStack()
        self._portal = self._cleanup.enter_context(anyio.from_thread.start_blocking_portal())
        self._store = self._cleanup.enter_context(self._portal.wrap_async_context_manager(opened()))
        self._model = Model()

    @rule(batches=BATCHES)
    def commit(self, batches: list[list[Change]]) -> None:
        expected = [self._model.commit(batch) for batch in batches]
        outcomes = self._portal.call(self._store.commit_all, batches)
        assert [None if each is None else type(each) for each in outcomes] == expected

    @rule(
        bounds=st.fixed_dictionaries(
            {
                "max_age_s": st.none() | st.integers(0, 30),
                "max_responses": BOUNDS,
                "max_conversations": BOUNDS,
                "max_bytes": st.none() | st.integers(0, 2_000),
                "max_reply_age_s": st.none() | st.integers(0, 30),
            }
        )
    )
    def prune(self, bounds: dict[str, int | None]) -> None:
        policy = RetentionPolicy(**bounds)
        gone = self._portal.call(self._store.prune, policy, NOW + 30)
        assert gone == self._model.prune(policy, NOW + 30)

    @invariant()
    def they_hold_the_same(self) -> None:
        self._portal.call(self._compare)

    async def _compare(self) -> None:
        store, model = self._store, self._model
        report = await store.check()
        visible = len(model.responses) - len(model.hidden)
        assert (report.responses, report.conversations) == (visible, len(model.conversations))
        assert report.bytes == model.bytes
        assert report.problems == ()
        assert [replace(each, version=0) for each in await store.keys()] == model.keys
        for tenant in (T, OTHER):
            for name in "abcdef":
                await self._compare_response(tenant, name)
            mine = [each for each in model.conversations if each.tenant == tenant]
            mine.sort(key=lambda each: each.created_at_s)
            assert await store.conversations(tenant, order="asc") == mine
            assert await store.conversations(tenant) == mine[::-1]
            for name in "xy":
                await self._compare_talk(tenant, name)

    async def _compare_response(self, tenant: str, name: str) -> None:
        store, model = self._store, self._model
        record = await store.response(tenant, name)
        assert await store.segments(name) == model.logs.get(name, [])
        try:
            expected = model.response(tenant, name)
        except UnknownResponse:
            assert record is None
            assert await _kind_of_refusal(store, tenant, name) is UnknownResponse
            return
        assert record is not None
        assert replace(record, owner="") == expected
        chain = await store.chain(tenant, name)
        assert [each.id for each in chain] == model.chain(name)
        for link in chain:
            turn_of = model.by_id(link.id)
            assert turn_of is not None
            assert (link.input, link.produced) == (turn_of.input, turn_of.produced)

    async def _compare_talk(self, tenant: str, name: str) -> None:
        store, model = self._store, self._model
        replies = [each for each in model.replies if (each.tenant, each.key) == (tenant, name)]
        assert await store.reply(tenant, name) == (replies[0] if replies else None)
        try:
            expected = model.conversation(tenant, name)
        except NotFound:
            assert await store.conversation(tenant, name) is None
            return
        assert await store.conversation(tenant, name) == expected
        assert await store.items(tenant, name, order="asc") == model.items_of(name)
        assert await store.items(tenant, name) == model.items_of(name)[::-1]

    def teardown(self) -> None:
        self._cleanup.close()


async def _kind_of_refusal(store: Store, tenant: str, name: str) -> type[CallboardError] | None:
    try:
        await store.chain(tenant, name)
    except CallboardError as refusal:
        return type(refusal)
    return None


def run_machine(opened: Callable[[], AbstractAsyncContextManager[Store]], *, examples: int) -> None:
    """Let the machine loose on stores that ``opened`` opens."""

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(opened)

    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=examples, stateful_step_count=15, deadline=None, database=None),
    )
