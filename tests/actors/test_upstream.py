"""UpstreamCall: however a call ends, its attempt is closed once."""

from __future__ import annotations

import anyio
import pytest

from callboard.actors.provider_system import Demand, Grant
from callboard.actors.rate_limiter import GetAccounts
from callboard.actors.upstream import UpstreamCall
from callboard.domain.meter import Meter
from callboard.domain.usage import Usage
from callboard.errors import UpstreamOverloaded
from callboard.providers.script import Script
from callboard.runtime import Runtime
from tests.fakes.company import Stage, company

pytestmark = pytest.mark.anyio

DEMAND = Demand(model="demo-model", key="k", prompt_tokens=10, max_output_tokens=10)


def new_call(runtime: Runtime) -> UpstreamCall:
    return UpstreamCall(runtime.providers, DEMAND, Meter("r", "test", lambda: 0))


async def answer(grant: Grant) -> str:
    return grant.spec.name


async def fail(grant: Grant) -> str:
    raise UpstreamOverloaded("busy", retry_after_s=3600.0)


async def test_a_call_is_settled_with_what_it_consumed() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            async with new_call(runtime) as call:
                assert await call.begin(answer) == "demo-model"
                call.consumed(Usage(input_tokens=7), reported=True)
            accounts = await runtime.accounts()
    assert [(line.attempt_id, line.input_tokens, line.outcome) for line in accounts.recent] == [
        ("r.1", 7, "completed")
    ]


async def test_a_call_that_is_cancelled_is_settled_within_the_step_that_leaves_it() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            with anyio.CancelScope() as scope:
                async with new_call(runtime) as call:
                    await call.begin(answer)
                    call.consumed(Usage(input_tokens=3), reported=False)
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
            accounts = runtime.limiter.ask_now(GetAccounts())
    assert [(line.input_tokens, line.outcome) for line in accounts.recent] == [(3, "cancelled")]
    assert accounts.tokens.open == 0


async def test_the_last_error_stands_when_no_attempt_is_left() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            with pytest.raises(UpstreamOverloaded, match="busy") as failed:
                async with new_call(runtime) as call:
                    await call.begin(fail)
            accounts = await runtime.accounts()
    assert failed.value.provider == "demo"
    assert [line.outcome for line in accounts.recent] == ["failed"]
