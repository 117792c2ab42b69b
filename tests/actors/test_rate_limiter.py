"""The RateLimiter actor: waits for those the limits let wait, and balances whatever happens to them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from callboard.actors.rate_limiter import Acquire, GetAccounts, RateLimiter, Settle, Till
from callboard.domain.model import Price
from callboard.domain.usage import Usage
from callboard.errors import RateLimited
from callboard.kernel import ActorRef, Child, Supervisor, open_system
from callboard.limits.ledger import Ledger, LedgerLine
from callboard.limits.limits import LimitSpec, Scope
from callboard.limits.memory import MemoryLimits
from tests.simulation.loops import run_on_asyncio, run_on_trio

pytestmark = pytest.mark.anyio

MINUTE_NS = 60_000_000_000


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MINUTE_NS

    def __call__(self) -> int:
        return self.now_ns


def only_keys(spec: LimitSpec) -> Callable[[Scope], LimitSpec]:
    return lambda scope: spec if scope[0] == "key" else LimitSpec()


@asynccontextmanager
async def limiter(
    spec: LimitSpec,
    clock: Callable[[], int],
    lines: list[LedgerLine],
    *,
    longest_wait_s: float = math.inf,
) -> AsyncIterator[ActorRef[RateLimiter]]:
    till = Till(
        limits=MemoryLimits(only_keys(spec)),
        ledger=Ledger(),
        clock_ns=clock,
        on_line=lines.append,
        longest_wait_s=longest_wait_s,
    )
    child = Child(name="rate_limiter", start=partial(RateLimiter, till))
    with anyio.fail_after(100):
        async with open_system(Supervisor(name="test", children=(child,))) as system:
            yield system.ref(child)


def acquire(attempt: str, *, tokens: int = 10, wait: bool = True, key: str = "k") -> Acquire:
    return Acquire(
        attempt_id=attempt,
        key=key,
        provider="p",
        model="m",
        estimate=Usage(input_tokens=tokens),
        price=Price(input_picousd=1),
        wait=wait,
    )


async def test_what_fits_is_reserved_and_settles_to_one_line() -> None:
    lines: list[LedgerLine] = []
    async with limiter(LimitSpec(requests_per_minute=3), Clock(), lines) as ref:
        assert await ref.ask(acquire("r.1"))
        await ref.tell(Settle(attempt_id="r.1", usage=Usage(input_tokens=7), reported=True))
        accounts = await ref.ask(GetAccounts())
    assert [(line.attempt_id, line.input_tokens, line.prompt_basis) for line in lines] == [
        ("r.1", 7, "reported")
    ]
    books = accounts.tokens
    assert (books.reserved, books.settled, books.released, books.open) == (10, 7, 3, 0)


async def test_settling_twice_or_what_was_never_reserved_changes_nothing() -> None:
    lines: list[LedgerLine] = []
    async with limiter(LimitSpec(), Clock(), lines) as ref:
        await ref.ask(acquire("r.1"))
        for attempt in ("r.1", "r.1", "never"):
            await ref.tell(Settle(attempt_id=attempt, usage=Usage(input_tokens=1)))
        accounts = await ref.ask(GetAccounts())
    assert len(lines) == 1
    assert accounts.tokens.settled == 1


async def test_nothing_sent_is_nothing_spent() -> None:
    lines: list[LedgerLine] = []
    async with limiter(LimitSpec(requests_per_minute=1), Clock(), lines) as ref:
        await ref.ask(acquire("r.1"))
        await ref.tell(Settle(attempt_id="r.1", sent=False))
        assert await ref.ask(acquire("r.2", wait=False))
    assert lines == []


async def test_not_waiting_answers_false_where_waiting_would_help() -> None:
    async with limiter(LimitSpec(parallel=1), Clock(), []) as ref:
        assert await ref.ask(acquire("r.1", wait=False))
        assert not await ref.ask(acquire("r.2", wait=False))


async def test_a_waiter_is_admitted_when_a_place_becomes_free_in_order_of_arrival() -> None:
    order: list[str] = []
    async with limiter(LimitSpec(parallel=1), Clock(), []) as ref:
        await ref.ask(acquire("first"))

        async def wait_for(name: str) -> None:
            await ref.ask(acquire(name))
            order.append(name)
            await ref.tell(Settle(attempt_id=name))

        async with anyio.create_task_group() as tasks:
            for name in ("a", "b"):
                tasks.start_soon(wait_for, name)
                # The limiter has seen it once it answers something sent later.
                await anyio.lowlevel.checkpoint()
                await ref.ask(GetAccounts())
            await ref.tell(Settle(attempt_id="first"))
    assert order == ["a", "b"]


async def test_a_waiter_that_leaves_gives_its_place_in_line_up() -> None:
    async with limiter(LimitSpec(parallel=1), Clock(), []) as ref:
        await ref.ask(acquire("first"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.ask, acquire("leaves"))
            await anyio.lowlevel.checkpoint()
            await ref.ask(GetAccounts())
            tasks.cancel_scope.cancel()
        await ref.tell(Settle(attempt_id="first"))
        assert await ref.ask(acquire("next"))
        accounts = await ref.ask(GetAccounts())
    assert accounts.tokens.open == 10


async def test_a_deadline_before_the_next_free_instant_is_refused_at_once() -> None:
    async with limiter(LimitSpec(requests_per_minute=1), Clock(), []) as ref:
        await ref.ask(acquire("r.1"))
        with anyio.fail_after(5), pytest.raises(RateLimited) as refused:
            await ref.ask(acquire("r.2"))
    assert refused.value.retry_after_s == pytest.approx(60, abs=0.001)


async def test_a_waiter_is_admitted_when_time_has_refilled_the_bucket() -> None:
    clock = Clock()
    async with limiter(LimitSpec(requests_per_minute=6000), clock, []) as ref:
        for number in range(6000):
            await ref.ask(acquire(f"r.{number}"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.ask, acquire("waits"))
            await anyio.lowlevel.checkpoint()
            await ref.ask(GetAccounts())
            clock.now_ns += MINUTE_NS // 60


async def test_a_restart_forgets_neither_reservations_nor_accounts() -> None:
    lines: list[LedgerLine] = []
    till = Till(
        limits=MemoryLimits(only_keys(LimitSpec())), ledger=Ledger(), clock_ns=Clock(), on_line=lines.append
    )
    child = Child(name="rate_limiter", start=partial(RateLimiter, till))
    with anyio.fail_after(10):
        for step in ("reserve", "settle"):
            async with open_system(Supervisor(name="test", children=(child,))) as system:
                if step == "reserve":
                    await system.ref(child).ask(acquire("r.1"))
                else:
                    await system.ref(child).tell(Settle(attempt_id="r.1", usage=Usage(input_tokens=4)))
                    await system.ref(child).ask(GetAccounts())
    assert [line.input_tokens for line in lines] == [4]


async def test_one_whose_time_is_too_short_is_refused_even_if_it_does_not_wait() -> None:
    async with limiter(LimitSpec(requests_per_minute=1), Clock(), []) as ref:
        await ref.ask(acquire("r.1"))
        with anyio.CancelScope(shield=True):
            assert not await ref.ask(acquire("r.2", wait=False))
        with anyio.fail_after(5), pytest.raises(RateLimited):
            await ref.ask(acquire("r.2", wait=False))
        accounts = await ref.ask(GetAccounts())
    assert accounts.tokens.open == 10


async def test_what_can_be_decided_at_once_is_decided_in_the_askers_step() -> None:
    async with limiter(LimitSpec(parallel=1), Clock(), []) as ref:
        await anyio.wait_all_tasks_blocked()
        assert ref.ask_now(acquire("r.1"))
        with pytest.raises(anyio.WouldBlock):
            ref.ask_now(acquire("has to wait"))
        ref.tell_now(Settle(attempt_id="r.1"))
        # Whoever could not wait holds no place in line once its work has been withdrawn.
        assert await ref.ask(acquire("r.2"))


def the_loops_clock() -> int:
    return 1_000 * MINUTE_NS + int(anyio.current_time() * 1e9)


in_virtual_time = pytest.mark.parametrize("run", [run_on_asyncio, run_on_trio])
Run = Callable[[Callable[[], Awaitable[None]], int], None]


@in_virtual_time
def test_nobody_waits_longer_for_a_place_than_the_operator_allows(run: Run) -> None:
    async def main() -> None:
        async with limiter(LimitSpec(parallel=1), the_loops_clock, [], longest_wait_s=30) as ref:
            await ref.ask(acquire("holds"))
            since = anyio.current_time()
            with pytest.raises(RateLimited, match="too many parallel requests") as refused:
                await ref.ask(acquire("waits"))
            assert anyio.current_time() - since == pytest.approx(30, abs=0.001)
            assert refused.value.retry_after_s == 1
            await ref.tell(Settle(attempt_id="holds"))
            assert await ref.ask(acquire("next"))

    run(main, 1)


@in_virtual_time
def test_who_would_have_to_wait_too_long_is_told_so_at_once_and_the_others_are_served(run: Run) -> None:
    async def main() -> None:
        served: list[float] = []
        async with limiter(LimitSpec(requests_per_minute=4), the_loops_clock, [], longest_wait_s=30) as ref:
            for number in range(4):
                await ref.ask(acquire(f"r.{number}"))
            since = anyio.current_time()

            async def ask(name: str) -> None:
                await ref.ask(acquire(name))
                served.append(anyio.current_time() - since)

            async with anyio.create_task_group() as tasks:
                for name in ("in 15 s", "in 30 s"):
                    tasks.start_soon(ask, name)
                    await anyio.wait_all_tasks_blocked()
                asked = anyio.current_time()
                with pytest.raises(RateLimited) as refused:
                    await ref.ask(acquire("in 45 s"))
                assert anyio.current_time() == asked
                assert refused.value.retry_after_s == pytest.approx(45 - (asked - since), abs=0.001)
        assert served == [pytest.approx(15, abs=0.001), pytest.approx(30, abs=0.001)]

    run(main, 1)


async def test_where_nobody_may_wait_whoever_would_have_to_is_refused() -> None:
    async with limiter(LimitSpec(parallel=1), Clock(), [], longest_wait_s=0) as ref:
        assert await ref.ask(acquire("r.1"))
        with pytest.raises(RateLimited):
            await ref.ask(acquire("r.2"))
