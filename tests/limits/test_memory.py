"""The in-memory limiter: the contract, and what only it promises."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from callboard.limits import Admitted, Ask, LimitSpec, MemoryLimits, Scope
from tests.contracts.limits import (
    MINUTE,
    MODEL,
    SECOND,
    START,
    LimitsContract,
    admitted,
    ask_of,
    key,
    passed,
    queued,
    refused,
)


class TestMemoryLimits(LimitsContract):
    """Held to the contract."""

    def make(
        self, specs: Mapping[Scope, LimitSpec], *, max_waiting: int = 100, max_waiting_per_payer: int = 50
    ) -> MemoryLimits:
        return MemoryLimits(
            lambda scope: specs.get(scope, LimitSpec()),
            max_waiting=max_waiting,
            max_waiting_per_payer=max_waiting_per_payer,
        )


def test_scopes_that_are_idle_again_are_forgotten() -> None:
    limits = MemoryLimits(lambda _: LimitSpec(requests_per_minute=60_000))
    for number in range(30_000):
        now = START + number * SECOND // 1_000
        reservation = admitted(limits, Ask(scopes=(key(str(number)),)), now)
        limits.settle(reservation, tokens=0, cost_picousd=0, now=now)
    assert limits.statistics().scopes < 5_000


@pytest.mark.parametrize("spec", [LimitSpec(requests_per_minute=1), LimitSpec(parallel=1)])
def test_scopes_in_use_are_remembered_however_many_there_are(spec: LimitSpec) -> None:
    limits = MemoryLimits(lambda _: spec)
    for number in range(5_000):
        limits.release(admitted(limits, Ask(scopes=(("idle", str(number)),))), now=START)
        admitted(limits, Ask(scopes=(key(str(number)),)))
    for number in range(5_000):
        again = limits.offer(Ask(scopes=(key(str(number)),), deadline_ns=START), START)
        assert not isinstance(again, Admitted)


def test_a_reservation_whose_holder_vanished_counts_as_used_and_frees_its_place() -> None:
    spec = LimitSpec(tokens_per_minute=100, parallel=1)
    limits = MemoryLimits(lambda scope: spec if scope == MODEL else LimitSpec(), ttl_ns=30 * SECOND)
    lost = admitted(limits, ask_of("a", tokens=100))
    ticket = queued(limits, ask_of("a", tokens=40))
    assert limits.next_wake(START) == START + 24 * SECOND
    assert passed(limits, START + 24 * SECOND) == []
    assert limits.next_wake(START + 24 * SECOND) == START + 30 * SECOND
    assert passed(limits, START + 30 * SECOND) == [ticket]
    with pytest.raises(ValueError, match="not open"):
        limits.release(lost, now=START + MINUTE)


def test_each_vanished_holder_is_given_its_own_time() -> None:
    limits = MemoryLimits(lambda _: LimitSpec(parallel=2), ttl_ns=30 * SECOND)
    admitted(limits, ask_of("a"))
    admitted(limits, ask_of("a"), START + 10 * SECOND)
    tickets = [queued(limits, ask_of("a"), START + 20 * SECOND) for _ in range(2)]
    assert passed(limits, START + 30 * SECOND) == tickets[:1]
    assert limits.next_wake(START + 30 * SECOND) == START + 40 * SECOND
    assert passed(limits, START + 40 * SECOND) == tickets[1:]


def test_waiters_who_come_and_go_leave_nothing_behind() -> None:
    limits = MemoryLimits(lambda _: LimitSpec(parallel=1))
    held = admitted(limits, ask_of("a"))
    for _ in range(1_000):
        assert limits.cancel(queued(limits, ask_of("a", wait_s=600)))
    limits.release(held, now=START)
    statistics = limits.statistics()
    assert (statistics.open, statistics.waiting, statistics.scopes) == (0, 0, 2)
    assert limits.next_wake(START) is None


def test_one_who_is_not_limited_still_has_only_so_many_places_to_wait() -> None:
    spec = {MODEL: LimitSpec(parallel=1)}
    limits = MemoryLimits(lambda scope: spec.get(scope, LimitSpec()), max_waiting_per_payer=1)
    first = admitted(limits, ask_of("free"))
    waits = queued(limits, ask_of("free"))

    refused(limits, ask_of("free"))
    limits.release(first, now=START)

    assert passed(limits, START) == [waits]


def test_a_reservation_where_nothing_is_limited_is_closed_once() -> None:
    limits = MemoryLimits(lambda scope: LimitSpec())
    reservation = admitted(limits, ask_of("free", tokens=5))
    assert limits.statistics().open == 1

    limits.settle(reservation, tokens=3, cost_picousd=0, now=START)

    assert limits.statistics().open == 0
    with pytest.raises(ValueError, match="not open"):
        limits.settle(reservation, tokens=3, cost_picousd=0, now=START)
