"""What a request pays for its grant: `Open` answered and `Close` told, with and without limits.

One exchange is what every upstream call does before and after it talks to the provider: ProviderSystem
chooses, RateLimiter reserves, and in the end both are told what it came to. The third figure is the same
through `UpstreamCall`, which also keeps the request's meter. Nothing is dialled. Beside them stands one ask
of an actor that is not decided in place; the bar is for the ratio to it, which holds on any machine.

    python -m benchmarks.micro.grant
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import anyio

from benchmarks.micro.ask import Add, Counter
from callboard.actors.provider_system import Close, Demand, Grant, Open, ProviderSystem, Upstreams
from callboard.actors.rate_limiter import RateLimiter, Till
from callboard.actors.upstream import UpstreamCall
from callboard.domain.meter import Meter
from callboard.domain.model import ModelSpec, Price
from callboard.domain.usage import Usage
from callboard.kernel import ActorRef, Child, Supervisor, open_system
from callboard.limits import Ledger, LimitSpec, MemoryLimits
from callboard.providers.breaker import Breaker
from callboard.providers.routing import Health, RouteTable
from callboard.providers.script import Script
from callboard.providers.scripted import ScriptedHandler
from callboard.providers.settings import ProviderSettings

ROUNDS = 31
EXCHANGES = 1_000
BAR = 4.0

# All that can be configured: four limits for a key, two for a provider, none for a model.
ALL_LIMITS = {
    "key": LimitSpec(
        requests_per_minute=1_000_000,
        tokens_per_minute=1_000_000_000,
        cost_per_day_picousd=10**18,
        parallel=1_000,
    ),
    "provider": LimitSpec(requests_per_minute=1_000_000, tokens_per_minute=1_000_000_000),
}
DEMAND = Demand(model="m", key="k", prompt_tokens=200, max_output_tokens=100)
USED = Usage(input_tokens=180, output_tokens=40)

Exchange = Callable[[int], Awaitable[None]]
Figures = tuple[float, float, float]


async def nothing_to_call(grant: Grant) -> None:
    """Be the provider that answers at once."""


def by_hand(providers: ActorRef[ProviderSystem]) -> Exchange:
    """Ask and tell, as `UpstreamCall` does it."""

    async def exchange(number: int) -> None:
        name = f"r{number}.1"
        await providers.ask(Open(attempt_id=name, demand=DEMAND))
        providers.tell_now(Close(attempt_id=name, usage=USED, reported=True))

    return exchange


def by_call(providers: ActorRef[ProviderSystem]) -> Exchange:
    """Through `UpstreamCall`."""

    async def exchange(number: int) -> None:
        meter = Meter(f"r{number}", "benchmark", time.perf_counter_ns)
        async with UpstreamCall(providers, DEMAND, meter) as call:
            await call.begin(nothing_to_call)
            call.consumed(USED, reported=True)

    return exchange


def plain(counter: ActorRef[Counter]) -> Exchange:
    """One ask through a mailbox."""

    async def exchange(number: int) -> None:
        await counter.ask(Add(amount=number))

    return exchange


async def microseconds(exchange: Exchange, first: int) -> float:
    """CPU time of one exchange, over a round."""
    begin = time.process_time()
    for number in range(first, first + EXCHANGES):
        await exchange(number)
    return (time.process_time() - begin) / EXCHANGES * 1e6


async def measure(limits: Mapping[str, LimitSpec]) -> Figures:
    """Return the medians by hand, through `UpstreamCall`, and of a plain ask."""
    handler = ScriptedHandler(ProviderSettings(name="p", kind="scripted"), script=Script())
    spec = ModelSpec(name="m", provider="p", upstream_name="m", price=Price(input_picousd=3))
    till = Till(
        limits=MemoryLimits(lambda scope: limits.get(scope[0], LimitSpec())),
        ledger=Ledger(),
        clock_ns=time.time_ns,
        on_line=lambda _: None,
    )
    limiter = Child(name="rate_limiter", start=partial(RateLimiter, till))
    upstreams = Upstreams(
        routes=RouteTable((spec,), providers=("p",)),
        handlers={"p": handler},
        health=lambda: Health({"p": Breaker()}),
        random=lambda: 0.5,
        observe=lambda _: None,
    )
    child = Child(name="provider_system", start=partial(ProviderSystem, upstreams, limiter))
    counter = Child(name="counter", start=Counter)
    tree = Supervisor(name="benchmark", children=(limiter, child, counter))
    async with open_system(tree) as system:
        providers = system.ref(child)
        exchanges = by_hand(providers), by_call(providers), plain(system.ref(counter))
        numbers = iter(range(0, 3 * ROUNDS * EXCHANGES, EXCHANGES))
        rounds = [[await microseconds(each, next(numbers)) for each in exchanges] for _ in range(ROUNDS)]
    hand, call, ask = (statistics.median(side) for side in zip(*rounds[1:], strict=True))
    return hand, call, ask


def main() -> int:
    """Print one line for each event loop; fail if the ratio on uvloop is over the bar."""
    over = False
    for name, backend, options in (
        ("asyncio", "asyncio", {}),
        ("uvloop", "asyncio", {"use_uvloop": True}),
        ("trio", "trio", {}),
    ):
        free, _, _ = anyio.run(measure, {}, backend=backend, backend_options=options)
        hand, call, ask = anyio.run(measure, ALL_LIMITS, backend=backend, backend_options=options)
        over = over or (name == "uvloop" and hand > BAR * ask)
        print(
            f"{name:8} grant and close {free:6.2f} us   all limits on {hand:6.2f} us"
            f"   and through UpstreamCall {call:6.2f} us   a plain ask {ask:6.2f} us"
            f"   ratio {hand / ask:.1f} (bar {BAR:.0f} on uvloop)"
        )
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
