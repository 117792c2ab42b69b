"""What a server asks for: whose it is, how much at once, and what is told of refusals."""

from __future__ import annotations

import time

import anyio
import mcp_types
import pytest
from msgspec.structs import replace

from callboard.domain.meter import Meter
from callboard.domain.principal import Principal
from callboard.domain.sampling import Originator, SamplingError, SamplingResult, TextContent
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import InputRequest
from callboard.tools.mcp.asked import Asked
from tests.fakes.mcp_servers import Heard, raw

pytestmark = pytest.mark.anyio

MESSAGE = mcp_types.SamplingMessage(role="user", content=mcp_types.TextContent(text="capital?"))
PARAMS = mcp_types.CreateMessageRequestParams(messages=[MESSAGE], max_tokens=50)


def origin(request_id: str, key_id: str = "anna") -> CallOrigin:
    meter = Meter(request_id, "test", time.perf_counter_ns)
    asker = Originator(Principal(key_id=key_id, tenant=key_id), meter)
    return CallOrigin(request_id=request_id, asker=asker)


class Answers:
    """Answers when it is let, and remembers for whom."""

    def __init__(self) -> None:
        self.origins: list[CallOrigin] = []
        self.ready = anyio.Event()

    async def __call__(self, request: InputRequest) -> SamplingResult | SamplingError:
        self.origins.append(request.origin)
        await self.ready.wait()
        return SamplingResult(
            role="assistant", content=TextContent(text="Paris"), model="m", stop_reason="endTurn"
        )


async def test_more_than_the_servers_calls_are_not_answered_at_once() -> None:
    answers, heard = Answers(), Heard()
    asked = Asked(replace(raw(), parallel=1), heard.desk(answers))
    got: list[object] = []

    async def ask() -> None:
        got.append(await asked.sample(answers, PARAMS))

    with anyio.fail_after(5), asked.during(origin("req_1")):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            refused = await asked.sample(answers, PARAMS)
            answers.ready.set()
        again = await asked.sample(answers, PARAMS)
    assert isinstance(refused, mcp_types.ErrorData)
    assert refused.message == "too many requests at once"
    assert [each.reason for each in heard.refused] == [refused.message]
    assert all(isinstance(each, mcp_types.CreateMessageResult) for each in (*got, again))


async def test_a_request_of_nobody_in_particular_is_the_latest_calls_where_all_are_one_callers() -> None:
    answers = Answers()
    answers.ready.set()
    asked = Asked(raw(), Heard().desk(answers))
    started, over = anyio.Event(), anyio.Event()

    async def call(of: CallOrigin) -> None:
        with asked.during(of):
            started.set()
            await over.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for each in (origin("req_1"), origin("req_2")):
                tasks.start_soon(call, each)
                await anyio.wait_all_tasks_blocked()
            await asked.sample(answers, PARAMS)
            tasks.start_soon(call, origin("req_3", "bert"))
            await anyio.wait_all_tasks_blocked()
            refused = await asked.sample(answers, PARAMS)
            over.set()
    assert [each.request_id for each in answers.origins] == ["req_2"]
    assert isinstance(refused, mcp_types.ErrorData)
    assert "several callers" in refused.message


async def test_a_request_of_a_call_that_is_over_is_refused() -> None:
    answers, heard = Answers(), Heard()
    asked = Asked(raw(), heard.desk(answers))
    outcomes: list[object] = []
    over = anyio.Event()

    async def late() -> None:
        await over.wait()
        outcomes.append(await asked.sample(answers, PARAMS))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            with asked.during(origin("req_1")):
                tasks.start_soon(late)  # it takes the call's context along
            with asked.during(origin("req_2")):
                over.set()
                await anyio.wait_all_tasks_blocked()
    (refused,) = outcomes
    assert isinstance(refused, mcp_types.ErrorData)
    assert refused.message == "the call that it belonged to has ended"
    assert answers.origins == []


async def test_what_is_no_answer_is_told_as_such() -> None:
    async def garbled(request: InputRequest) -> SamplingResult | SamplingError:
        content = (TextContent(text="a"), TextContent(text="b"))  # without tools there is one block
        return SamplingResult(role="assistant", content=content, model="m", stop_reason="endTurn")

    asked = Asked(raw(), Heard().desk(garbled))
    with anyio.fail_after(5), asked.during(origin("req_1")):
        refused = await asked.sample(garbled, PARAMS)
    assert isinstance(refused, mcp_types.ErrorData)
    assert (refused.code, refused.message) == (mcp_types.INTERNAL_ERROR, "no answer could be made")


def test_of_many_refusals_in_a_moment_one_is_told() -> None:
    heard = Heard()
    asked = Asked(raw(), heard.desk())
    for method in ("elicitation/create", "roots/list", "ping", "sampling/createMessage"):
        asked.hear(method)
    assert [(each.request, each.untold) for each in heard.refused] == [("elicitation/create", 0)]


def test_what_is_provided_is_not_refused() -> None:
    heard = Heard()
    asked = Asked(replace(raw(), roots=("file:///data",)), heard.desk(Answers()))
    assert asked.provided == {"sampling/createMessage", "roots/list"}
    for method in ("roots/list", "sampling/createMessage", "tools/list"):
        asked.hear(method)
    assert heard.refused == []
