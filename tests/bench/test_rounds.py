"""A plan carried out."""

from __future__ import annotations

import io
from collections.abc import Sequence

import anyio
import pytest

from callboard.bench import Bench, ClosedLoop, OpenLoop, Plan, Progress, Target, Window, built_in
from callboard.errors import ConfigurationError
from callboard.secret import Secret
from tests.bench.target import GOOD, answering_in_turn
from tests.fakes.http_server import Peer, Script, answering, serve

pytestmark = pytest.mark.anyio

PAYLOADS = (built_in("chat", model="m", stream=False),)


def bench_of(plan: Plan, headers: Sequence[tuple[str, Secret]] = (), **more: object) -> Bench:
    return Bench(
        plan, PAYLOADS, headers=headers, progress=Progress(None, terminal=False), warmed=lambda: None, **more
    )


def target(name: str, url: str) -> Target:
    return Target(name=name, url=f"{url}v1/chat/completions")


def writing(name: str, log: list[str]) -> Script:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            log.append(name)
            await peer.send(GOOD)

    return script


async def test_targets_take_turns_each_on_connections_of_its_own() -> None:
    log: list[str] = []
    with anyio.fail_after(5):
        async with serve(writing("a", log)) as first, serve(writing("b", log)) as second:
            bench = bench_of(
                Plan(
                    targets=(target("a", first.url), target("b", second.url)),
                    steps=(ClosedLoop(concurrency=1),),
                    window=Window(count=2),
                    rounds=2,
                )
            )
            await bench.run()
            assert first.connects == second.connects == 2
    assert log == ["a", "a", "b", "b", "a", "a", "b", "b"]
    a, b = bench.reports()
    assert [report.target.name for report in (a, b)] == ["a", "b"]
    (step,) = b.steps
    assert [each.succeeded for each in step.rounds] == [2, 2]
    assert step.merged.succeeded == 4
    assert step.against_first is not None
    assert step.against_first.requests_per_s is not None
    assert a.steps[0].against_first is None


async def test_headers_go_to_the_target() -> None:
    with anyio.fail_after(5):
        async with serve(answering(GOOD)) as server:
            plan = Plan(
                targets=(target("a", server.url),), steps=(ClosedLoop(concurrency=1),), window=Window(count=1)
            )
            await bench_of(plan, headers=[("authorization", Secret("Bearer k"))]).run()
    (request,) = server.requests
    assert request.values(b"authorization") == [b"Bearer k"]
    assert request.values(b"content-type") == [b"application/json"]
    assert request.body == PAYLOADS[0].body


def test_a_header_that_breaks_http_is_refused_before_anything_is_sent() -> None:
    plan = Plan(
        targets=(target("a", "http://host/"),), steps=(ClosedLoop(concurrency=1),), window=Window(count=1)
    )
    with pytest.raises(ConfigurationError, match="--header"):
        bench_of(plan, headers=[("x", Secret("a\r\nb"))])


async def test_a_saturated_target_leaves_the_sweep() -> None:
    bad = GOOD.replace(b"200 OK", b"500 Oops")
    with anyio.fail_after(10):
        async with serve(answering_in_turn([GOOD, GOOD, bad])) as server:
            plan = Plan(
                targets=(target("a", server.url),),
                steps=tuple(OpenLoop(rate=rate) for rate in (5.0, 50.0, 100.0)),
                sweep=True,
                window=Window(count=2),
            )
            bench = bench_of(plan)
            await bench.run()
    assert len(server.requests) == 4
    (report,) = bench.reports()
    assert [step.sustained for step in report.steps] == [True, False]
    assert report.sustained_rate == 5.0


async def test_every_warm_up_is_followed_by_the_callback() -> None:
    calls: list[str] = []
    with anyio.fail_after(5):
        async with serve(answering(GOOD)) as server:
            plan = Plan(
                targets=(target("a", server.url),),
                steps=(ClosedLoop(concurrency=1),),
                window=Window(warmup_s=0.01, duration_s=0.1),
                rounds=2,
            )
            bench = Bench(
                plan,
                PAYLOADS,
                progress=Progress(None, terminal=False),
                warmed=lambda: calls.append("warmed"),
            )
            await bench.run()
    assert len(calls) == 2


async def test_what_was_measured_before_a_cancellation_is_reported() -> None:
    out = io.StringIO()
    stuck = anyio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if len(server.requests) == 4:
                stuck.set()
                await peer.until_closed()
                return
            await peer.send(GOOD)

    with anyio.fail_after(5):
        async with serve(script) as server, anyio.create_task_group() as tasks:
            plan = Plan(
                targets=(target("a", server.url), target("b", server.url)),
                steps=(ClosedLoop(concurrency=1),),
                window=Window(count=2),
                rounds=3,
            )
            bench = Bench(plan, PAYLOADS, progress=Progress(out, terminal=False), warmed=lambda: None)
            tasks.start_soon(bench.run)
            await stuck.wait()
            tasks.cancel_scope.cancel()
    a, b = bench.reports()
    assert a.steps[0].merged.succeeded == 2
    assert b.steps[0].merged.succeeded == 1
    assert out.getvalue().count("\n") == 4
