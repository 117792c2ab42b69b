"""The ProviderSystem's decisions and numbers, through the real tree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar

import anyio
import pytest

from callboard.actors.provider_system import (
    Close,
    Demand,
    GetHealth,
    ListModels,
    Open,
    ProviderSystem,
    Upstreams,
)
from callboard.actors.rate_limiter import RateLimiter, Till
from callboard.domain.model import ModelSpec
from callboard.domain.usage import Usage
from callboard.errors import RateLimited, UnknownModel, UpstreamOverloaded
from callboard.kernel import Child, Context, MailboxSpec, Supervisor, open_system
from callboard.limits import Ledger, LedgerLine, LimitSpec, MemoryLimits
from callboard.providers.breaker import Breaker
from callboard.providers.routing import Health, RouteTable
from callboard.providers.script import Fail, Pause, Reply, Script, Text
from tests.fakes.company import Stage, company, replies

pytestmark = pytest.mark.anyio

DEMAND = Demand(model="demo-model", key="k", prompt_tokens=10, max_output_tokens=10)


def spent(input_tokens: int, output_tokens: int, text: str) -> Reply:
    return Reply(
        steps=(Pause(seconds=0.05), Text(text=text)),
        usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens),
    )


async def test_every_attempt_is_counted_with_its_tokens() -> None:
    script = Script(
        replies=(
            spent(10, 20, "one"),
            Reply(steps=(Fail(error="upstream_quota", status=429),)),
            spent(15, 25, "two"),
        )
    )
    with anyio.fail_after(5):
        async with company(Stage(demo=script)) as runtime:
            await runtime.ask("default", "hi")
            first = (await runtime.providers.ask(GetHealth()))["demo"]
            with pytest.raises(Exception, match="the script says so"):
                await runtime.ask("default", "hi")
            await runtime.ask("default", "hi")
            last = (await runtime.providers.ask(GetHealth()))["demo"]
    assert (first.requests, first.failures) == (1, 0)
    assert (first.usage.input_tokens, first.usage.output_tokens, first.usage.total_tokens) == (10, 20, 30)
    assert (last.requests, last.failures) == (3, 1)
    assert (last.usage.input_tokens, last.usage.output_tokens, last.usage.total_tokens) == (25, 45, 70)
    assert last.busy_us >= 50_000  # two pauses of as much; event loops keep time in milliseconds


async def test_a_grant_names_the_upstreams_model_and_is_closed_by_name() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            grant = await runtime.providers.ask(Open(attempt_id="r.1", demand=DEMAND))
            assert grant is not None
            assert (grant.spec.provider, grant.spec.upstream_name) == ("demo", "demo-model")
            await runtime.providers.tell(Close(attempt_id="r.1", usage=Usage(input_tokens=3), reported=True))
            await runtime.providers.tell(Close(attempt_id="r.1", usage=Usage(input_tokens=9)))
            await runtime.providers.ask(ListModels())
            accounts = await runtime.accounts()
    assert [(line.attempt_id, line.input_tokens) for line in accounts.recent] == [("r.1", 3)]


async def test_an_unknown_model_is_refused() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            with pytest.raises(UnknownModel):
                await runtime.providers.ask(
                    Open(attempt_id="r.1", demand=Demand(model="x", key="k", prompt_tokens=1))
                )


async def test_a_provider_that_keeps_failing_rests_and_says_when_to_come_back() -> None:
    failing = Script(replies=replies([Fail(error="upstream_unreachable")]).replies, then="repeat")
    with anyio.fail_after(10):
        async with company(Stage(demo=failing)) as runtime:
            for number in range(5):
                grant = await runtime.providers.ask(Open(attempt_id=f"r.{number}", demand=DEMAND))
                assert grant is not None
                error = UpstreamOverloaded("down")
                await runtime.providers.tell(Close(attempt_id=f"r.{number}", error=error))
            with pytest.raises(UpstreamOverloaded, match="every provider of model 'demo-model' is failing"):
                await runtime.providers.ask(Open(attempt_id="r.6", demand=DEMAND))
            health = (await runtime.providers.ask(GetHealth()))["demo"]
    assert health.breaker == "open"


async def test_a_key_beyond_its_limit_is_refused_with_the_time_to_wait() -> None:
    config = {"limits": {"requests_per_minute": 1}}
    with anyio.fail_after(5):
        async with company(Stage(demo=Script()), config=config) as runtime:
            await runtime.ask("default", "hi")
            with pytest.raises(RateLimited) as refused:
                await runtime.ask("default", "hi")
    assert refused.value.retry_after_s is not None
    assert 50 < refused.value.retry_after_s <= 60


async def test_a_grant_that_no_limit_holds_up_is_given_in_the_askers_step() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            await anyio.wait_all_tasks_blocked()
            grant = runtime.providers.ask_now(Open(attempt_id="r.1", demand=DEMAND))
            assert grant is not None
            runtime.providers.tell_now(Close(attempt_id="r.1", usage=Usage(input_tokens=3)))
            accounts = await runtime.accounts()
    assert [line.attempt_id for line in accounts.recent] == ["r.1"]


class DoorkeptLimiter(RateLimiter):
    """A limiter that takes one message at most, and after a crash stays down until its door is opened."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=1)

    def __init__(self, till: Till, door: anyio.Event | None) -> None:
        super().__init__(till)
        self._door = door

    @asynccontextmanager
    async def running(self, context: Context[Any]) -> AsyncIterator[None]:
        if self._door is not None:
            await self._door.wait()
        async with super().running(context):
            yield


async def test_an_attempt_closed_while_the_limiter_is_down_and_its_mailbox_full_is_settled_later() -> None:
    lines: list[str] = []
    door, settled = anyio.Event(), anyio.Event()
    doors = iter((None, door))

    def write(line: LedgerLine) -> None:
        lines.append(line.attempt_id)
        if len(lines) == 1:
            raise OSError("the line cannot be written")
        if len(lines) == 3:
            settled.set()

    limits = MemoryLimits(lambda _: LimitSpec())
    till = Till(limits=limits, ledger=Ledger(), clock_ns=lambda: 1, on_line=write)
    limiter: Child[RateLimiter] = Child(name="limiter", start=lambda: DoorkeptLimiter(till, next(doors)))
    upstreams = Upstreams(
        routes=RouteTable((ModelSpec(name="demo-model", provider="p", upstream_name="m"),), providers=("p",)),
        handlers={"p": Stage(p=Script()).handlers["p"]},
        health=lambda: Health({"p": Breaker()}),
        random=lambda: 0.5,
        observe=lambda _: None,
    )
    child = Child(name="providers", start=partial(ProviderSystem, upstreams, limiter))
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(limiter, child))) as system:
            providers = system.ref(child)
            names = ["crashes the limiter", "fills its mailbox", "finds no room"]
            for name in names:
                await providers.ask(Open(attempt_id=name, demand=DEMAND))
            for name in names:
                await providers.tell(Close(attempt_id=name))
            health = (await providers.ask(GetHealth()))["p"]
            door.set()
            await settled.wait()
            after = (await providers.ask(GetHealth()))["p"]

    assert lines == names
    assert (health.requests, after.requests) == (2, 3)
    assert limits.statistics().open == 0
