"""callboard.kernel.trace: a trace travels with the request."""

from __future__ import annotations

import anyio
import pytest

from callboard.kernel import Actor, Child, Context, Request, Supervisor, TraceContext, open_system
from callboard.kernel.trace import UNTRACED, bind_trace, current_trace, use_trace

pytestmark = pytest.mark.anyio

TRACE = TraceContext(trace_id="a" * 32, request_id="req_1")


class Whose(Request["Echo", TraceContext], frozen=True, kw_only=True):
    """Ask for the trace the receiver sees, in ``receive`` or in spawned work."""

    spawned: bool


class Echo(Actor[Whose]):
    async def receive(self, message: Whose, context: Context[Echo]) -> None:
        async def work() -> TraceContext:
            await anyio.lowlevel.checkpoint()
            return context.trace

        if message.spawned:
            context.reply_from(message, work)
        else:
            context.reply(message, context.trace)


def test_a_block_binds_a_trace_and_gives_the_old_one_back() -> None:
    with use_trace(TRACE):
        inside = current_trace()

    assert (inside, current_trace()) == (TRACE, UNTRACED)


async def test_a_bound_trace_stays_with_its_own_task() -> None:
    async def bind() -> None:
        bind_trace(TRACE)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bind)

    assert current_trace() == UNTRACED


@pytest.mark.parametrize("spawned", [False, True], ids=["receive", "work"])
async def test_the_receiver_sees_the_senders_trace(spawned: bool) -> None:
    child = Child(name="echo", start=Echo)
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            with use_trace(TRACE):
                traced = await system.ref(child).ask(Whose(spawned=spawned))
            untraced = await system.ref(child).ask(Whose(spawned=spawned))

    assert (traced, untraced) == (TRACE, UNTRACED)
