"""A turn over a long conversation: each look through all of it lets others work in between."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec import Raw

from callboard.domain.block import ToolUseBlock
from callboard.domain.message import Message, tool_results, user_text
from callboard.domain.steps import IN_A_STEP
from callboard.providers.script import Text
from tests.fakes.company import Stage, company, replies

pytestmark = pytest.mark.anyio

LOOKS = 3
"""How often a turn goes through its conversation at least: joined, repaired, and counted."""


async def turns_of_others(conversation: tuple[Message, ...]) -> tuple[int, tuple[Message, ...]]:
    """How often others had their turn while the conversation was answered, and what the model was sent."""
    turns = 0

    async def take() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    stage = Stage(demo=replies([Text(text="fine")]))
    with anyio.fail_after(20):
        async with company(stage) as runtime, anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await checkpoint()
            before = turns
            await runtime.generate("demo-model", conversation)
            during = turns - before
            tasks.cancel_scope.cancel()
    return during, stage.handlers["demo"].calls[0].request.messages


@pytest.mark.parametrize("broken", [False, True])
async def test_while_a_long_conversation_is_prepared_others_go_on(broken: bool) -> None:
    said = Message(role="assistant", content=user_text("hello").content)
    rounds = 5 * IN_A_STEP
    call = ToolUseBlock(id="c", name="f", input=Raw(b"{}"))
    last = (Message(role="assistant", content=(call,)),) if broken else (said,)
    few, _ = await turns_of_others((user_text("hi"), *last))
    many, sent = await turns_of_others((user_text("hi"), said) * rounds + (user_text("hi"), *last))
    # There are two messages a round, and a repair goes through all of them once more.
    assert many - few >= (LOOKS + broken) * (2 * rounds // IN_A_STEP - 1)
    assert len(sent) == 2 * rounds + 2 + broken
    assert bool(tool_results(sent[-1])) == broken
