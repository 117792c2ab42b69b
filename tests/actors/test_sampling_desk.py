"""Between a server's question and the answer: on whose behalf, and in which words it is refused."""

from __future__ import annotations

import anyio
import msgspec
import pytest
from msgspec import Raw

from callboard.actors.sampling import REJECTED
from callboard.actors.sampling_desk import SamplingDesk
from callboard.domain.meter import Meter
from callboard.domain.principal import LOCAL
from callboard.domain.sampling import Originator, SamplingError, SamplingResult, TextContent
from callboard.providers.script import Fail, Text
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import InputRequest
from tests.actors.test_sampling_answers import SERVER, manager, params
from tests.fakes.company import Stage, company, replies

pytestmark = pytest.mark.anyio


def asked(asker: Originator | None, server: str = SERVER) -> InputRequest:
    return InputRequest(server=server, params=Raw(params()), origin=CallOrigin(asker=asker))


async def test_an_answer_is_at_the_cost_of_whoever_made_the_call() -> None:
    meter = Meter("req_1", "test", lambda: 0)
    with anyio.fail_after(5):
        async with company(Stage(demo=replies([Text(text="Paris")]))) as runtime:
            desk = SamplingDesk(manager(runtime), runtime.providers)
            answer = await desk(asked(Originator(LOCAL, meter)))
    assert isinstance(answer, SamplingResult)
    assert answer.content == TextContent(text="Paris")
    assert meter.attempts == 1


async def test_a_refusal_is_a_code_and_words_of_ours() -> None:
    meter = Meter("req_1", "test", lambda: 0)
    failing = replies(*[[Fail(error="upstream_authentication", message="sk-canary is wrong")]] * 9)
    with anyio.fail_after(5):
        async with company(Stage(demo=failing)) as runtime:
            desk = SamplingDesk(manager(runtime), runtime.providers)
            failed = await desk(asked(Originator(LOCAL, meter)))
            unknown = await desk(asked(Originator(LOCAL, meter), "another"))
            deep = await desk(asked(Originator(LOCAL, meter, depth=1)))
            nobody = await desk(asked(None))
    assert isinstance(failed, SamplingError)
    assert b"canary" not in msgspec.json.encode(failed)
    assert unknown == SamplingError(code=REJECTED, message="sampling is not allowed for this server")
    assert deep == SamplingError(code=REJECTED, message="sampling within sampling is not allowed")
    assert isinstance(nobody, SamplingError)
