"""What a key may use: exactly that, whatever comes at once, and at nobody else's expense."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest

from callboard.actors.provider_system import Demand, Open
from callboard.config import Config, LimitsConfig
from callboard.config.division import divided
from callboard.domain.client_key import Allowance
from callboard.errors import PermissionDenied
from callboard.limits import LimitSpec
from callboard.providers.script import Hold, Reply, Script, Text
from callboard.serving.key_desk import KeyOrder
from callboard.wiring import limits_of
from tests.fakes.company import Stage, company
from tests.fakes.keyed import bearer, desk_of, make_key
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

ASKED: dict[str, object] = {"model": "demo-model", "messages": [{"role": "user", "content": "hi"}]}
HELD = Script(replies=(Reply(steps=(Hold(gate="g"), Text(text="ok"))),), then="repeat")


async def key(server: Served, **allowance: object) -> dict[str, str]:
    order = KeyOrder(name="k", allowance=Allowance(**allowance))  # type: ignore[arg-type]  # as the caller says
    return bearer((await make_key(server.runtime, order))[0])


@pytest.mark.parametrize("cap", [1, 2, 5])
@pytest.mark.parametrize("limit", ["parallel", "requests_per_minute"])
async def test_of_ten_times_as_many_at_once_exactly_as_many_as_allowed_get_through(
    cap: int, limit: str
) -> None:
    stage = Stage(demo=HELD)
    demo = stage.handlers["demo"]
    done: list[int] = []
    with anyio.fail_after(10):
        async with served(stage) as server:
            headers = await key(server, **{limit: cap})

            async def ask() -> None:
                got = await server.client.post("/v1/chat/completions", json=ASKED, headers=headers)
                done.append(got.status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(10 * cap):
                    tasks.start_soon(ask)
                # What is known to come too late is refused at once, and so is who finds the line full.
                late = 9 * cap if limit == "requests_per_minute" else 7 * cap
                while server.admission.in_work + late < 10 * cap or len(done) < late:
                    await anyio.lowlevel.checkpoint()
                while demo.open_answers < cap:
                    await anyio.lowlevel.checkpoint()
                await anyio.wait_all_tasks_blocked()
                assert (demo.open_answers, len(demo.calls)) == (cap, cap)
                tasks.cancel_scope.cancel()
    assert len(demo.calls) == cap
    assert done == [429] * late


async def test_who_waits_for_his_own_limit_is_in_nobody_elses_way() -> None:
    stage = Stage(demo=Script(replies=(Reply(steps=(Hold(gate="g"), Text(text="ok"))),)))
    with anyio.fail_after(10):
        async with served(stage) as server:
            greedy, modest = await key(server, parallel=1), await key(server)
            post = server.client.post

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(lambda: post("/v1/chat/completions", json=ASKED, headers=greedy))
                while server.admission.in_work < 3:
                    await anyio.lowlevel.checkpoint()
                got = await post("/v1/chat/completions", json=ASKED, headers=greedy)
                assert (got.status_code, got.headers["retry-after"]) == (429, "1")
                for _ in range(20):
                    got = await post("/v1/chat/completions", json=ASKED, headers=modest)
                    assert got.status_code == 200
                tasks.cancel_scope.cancel()


async def test_each_key_has_limits_of_its_own_though_they_share_a_tenant() -> None:
    async with served(Stage(demo=Script())) as server:
        order = KeyOrder(name="k", tenant="t", allowance=Allowance(requests_per_minute=1))
        for _ in range(3):
            headers = bearer((await make_key(server.runtime, order))[0])
            got = await server.client.post("/v1/chat/completions", json=ASKED, headers=headers)
            assert got.status_code == 200


async def test_a_key_that_could_never_pay_is_told_so() -> None:
    priced = {"models": {"demo-model": {"provider": "demo", "output": 1000, "max_output_tokens": 1000}}}
    async with served(Stage(demo=Script()), config=priced) as server:
        headers = await key(server, cost_per_day_usd=Decimal("0.5"))
        got = await server.client.post("/v1/chat/completions", json=ASKED, headers=headers)
    assert (got.status_code, got.json()["error"]["code"]) == (429, "insufficient_quota")


async def test_a_key_that_is_revoked_while_it_works_gets_no_further_generation() -> None:
    async with company(Stage(demo=Script())) as runtime:
        _, key = await make_key(runtime)
        await runtime.wiring.keys.refresh()
        assert runtime.wiring.keys.may_spend(key.id)
        await desk_of(runtime).revoke(key.id)
        await runtime.wiring.keys.refresh()
        demand = Demand(model="demo-model", key=key.id, prompt_tokens=1)
        with pytest.raises(PermissionDenied, match="no longer valid"):
            await runtime.providers.ask(Open(attempt_id="a", demand=demand))
        assert (await runtime.accounts()).tokens.open == 0


def test_what_is_not_said_of_a_key_is_as_the_defaults_say() -> None:
    config = Config(limits=LimitsConfig(requests_per_minute=60, cost_per_day_usd=Decimal(2), parallel=4))
    spec = limits_of(Allowance(requests_per_minute=7, cost_per_day_usd=Decimal("0.25")), config)
    assert (spec.requests_per_minute, spec.tokens_per_minute, spec.parallel) == (7, 20_000_000, 4)
    assert spec.cost_per_day_picousd == 250_000_000_000
    assert limits_of(Allowance(), Config()) == limits_of(Allowance(), Config(workers=3))


BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": ASKED,
    "/v1/responses": {"model": "demo-model", "input": "hi"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", list(BODIES))
async def test_who_is_over_a_limit_is_told_when_to_come_back_before_anything_else(
    path: str, stream: bool
) -> None:
    config = {"limits": {"requests_per_minute": 1}}
    asked = {**BODIES[path], "stream": stream}
    with anyio.fail_after(60):  # more than what a request may wait by default
        async with served(Stage(demo=Script()), config=config) as server:
            first = await server.client.post(path, json=asked)
            assert first.status_code == 200
            got = await server.client.post(path, json=asked)
    assert got.status_code == 429
    assert 55 <= int(got.headers["retry-after"]) <= 60
    assert got.json()["error"]["code"] == "rate_limit_exceeded"


async def test_a_turn_in_the_background_that_is_over_a_limit_fails_and_says_why() -> None:
    config = {"limits": {"requests_per_minute": 1}}
    with anyio.fail_after(10):
        async with served(Stage(demo=Script()), config=config) as server:
            for status in ("completed", "failed"):
                begun = await server.client.post(
                    "/v1/responses", json={**BODIES["/v1/responses"], "background": True}
                )
                path = f"/v1/responses/{begun.json()['id']}"
                await server.client.get(f"{path}?stream=true")
                response = (await server.client.get(path)).json()
                assert response["status"] == status
    assert response["error"]["code"] == "rate_limit_exceeded"


def test_a_limit_is_on_unless_it_is_taken_off() -> None:
    spec = limits_of(Allowance(), Config())
    assert (spec.requests_per_minute, spec.tokens_per_minute, spec.parallel) == (6_000, 20_000_000, 256)
    assert spec.cost_per_day_picousd is None
    off = LimitsConfig(requests_per_minute="unlimited", tokens_per_minute="unlimited", parallel="unlimited")
    assert limits_of(Allowance(), Config(limits=off)) == LimitSpec()


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_each_have_their_part_of_a_keys_limits(workers: int) -> None:
    config = divided(Config(limits=LimitsConfig(parallel=30)), workers)
    own = Allowance(requests_per_minute=12, tokens_per_minute=1, cost_per_day_usd=Decimal(6))
    spec = limits_of(own, config)
    assert spec.requests_per_minute == 12 // workers
    assert spec.tokens_per_minute == 1
    assert spec.cost_per_day_picousd == 6 * 10**12 // workers
    assert spec.parallel == 30 // workers
