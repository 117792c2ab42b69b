"""Titler: titles are found beside everything else, and nobody waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from callboard.actors.archivist import Commit
from callboard.actors.titler import AT_ONCE, NameConversation
from callboard.domain.principal import LOCAL
from callboard.providers.script import AnyStep, Fail, Hold, Reply, Script, Text
from callboard.runtime import Runtime
from callboard.store import ConversationRecord, DeleteConversation, PutConversation
from tests.fakes.company import Stage, company

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(*steps: AnyStep) -> AsyncIterator[tuple[Runtime, Stage]]:
    """A company whose model does the same again and again."""
    stage = Stage(demo=Script(replies=(Reply(steps=steps),), then="repeat"))
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            yield runtime, stage


async def begun(runtime: Runtime, name: str = "c") -> None:
    record = ConversationRecord(id=name, tenant=LOCAL.tenant, created_at_s=1, updated_at_s=1, title="New")
    await runtime.archivist.ask(Commit(changes=(PutConversation(record=record),)))
    wanted = NameConversation(
        principal=LOCAL, conversation_id=name, called="New", message="hi", model="demo-model"
    )
    await runtime.system.ref(runtime.wiring.titler).tell(wanted)


async def titled(runtime: Runtime, name: str = "c") -> str:
    while True:
        record = await runtime.wiring.store.conversation(LOCAL.tenant, name)
        assert record is not None
        if record.title != "New":
            return record.title
        await anyio.lowlevel.checkpoint()


async def test_a_title_is_found_accounted_for_and_kept_nowhere_else() -> None:
    async with running(Text(text='"Mountains"')) as (runtime, stage):
        await begun(runtime)
        assert await titled(runtime) == "Mountains"
        assert (await runtime.accounts()).tokens.settled > 0
        while not (lines := [each for each in stage.lines() if "route=chat_title" in each]):
            await anyio.lowlevel.checkpoint()
        (line,) = lines
        (response_id,) = [part for part in line.split() if part.startswith("response_id=")]
        assert await runtime.wiring.store.response(LOCAL.tenant, response_id.partition("=")[2]) is None


async def test_where_none_is_found_the_hour_is_the_title() -> None:
    async with running(Fail(error="upstream_authentication")) as (runtime, _):
        await begun(runtime)
        assert (await titled(runtime)).startswith("Chat - ")


async def test_only_so_many_are_looked_for_at_once_and_the_others_come_after() -> None:
    async with running(Hold(gate="slow"), Text(text="Mountains")) as (runtime, stage):
        names = [f"c{number}" for number in range(AT_ONCE + 2)]
        for name in names:
            await begun(runtime, name)
        demo = stage.handlers["demo"]
        while demo.open_answers < AT_ONCE:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert demo.open_answers == AT_ONCE
        demo.gates["slow"].opened.set()
        for name in names:
            assert await titled(runtime, name) == "Mountains"


async def test_titles_under_way_hold_up_no_end_and_end_upstream() -> None:
    async with running(Hold(gate="never")) as (runtime, stage):
        await begun(runtime)
        await stage.handlers["demo"].gates["never"].reached.wait()
    assert stage.handlers["demo"].open_answers == 0


async def test_a_conversation_that_is_gone_needs_no_title() -> None:
    async with running(Hold(gate="slow"), Text(text="Mountains")) as (runtime, stage):
        await begun(runtime)
        await stage.handlers["demo"].gates["slow"].reached.wait()
        gone = DeleteConversation(tenant=LOCAL.tenant, id="c")
        await runtime.archivist.ask(Commit(changes=(gone,)))
        stage.handlers["demo"].gates["slow"].opened.set()
        await begun(runtime, "other")
        assert await titled(runtime, "other") == "Mountains"
