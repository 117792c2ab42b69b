"""What every `callboard.limits.Limits` must do, whatever keeps its state; subclass it and make one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import pytest

from callboard.errors import BudgetExceeded, Overloaded, RateLimited
from callboard.limits import Admitted, Ask, Limits, LimitSpec, Queued, Refused, Scope

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
START = 20_000 * DAY
MODEL = ("model", "m")


def key(name: str) -> Scope:
    return ("key", name)


def ask_of(name: str, *, tokens: int = 0, wait_s: int | None = None, now: int = START) -> Ask:
    """An ask of the key ``name`` on the one model, that waits up to ``wait_s`` seconds, or for ever."""
    deadline = None if wait_s is None else now + wait_s * SECOND
    return Ask(scopes=(key(name), MODEL), tokens=tokens, deadline_ns=deadline)


def admitted(limits: Limits, ask: Ask, now: int = START) -> int:
    answer = limits.offer(ask, now)
    assert isinstance(answer, Admitted)
    return answer.reservation_id


def queued(limits: Limits, ask: Ask, now: int = START) -> int:
    answer = limits.offer(ask, now)
    assert isinstance(answer, Queued)
    return answer.ticket


def refused(limits: Limits, ask: Ask, now: int = START) -> RateLimited | Overloaded:
    answer = limits.offer(ask, now)
    assert isinstance(answer, Refused)
    return answer.error


def passed(limits: Limits, now: int) -> list[int]:
    """Tickets that a pump at ``now`` admits, in order."""
    return [ticket for ticket, decision in limits.pump(now) if isinstance(decision, Admitted)]


class LimitsContract(ABC):
    """The contract; each test makes its own limiter."""

    @abstractmethod
    def make(
        self, specs: Mapping[Scope, LimitSpec], *, max_waiting: int = 100, max_waiting_per_payer: int = 50
    ) -> Limits:
        """A fresh limiter; scopes that ``specs`` does not name are unlimited."""

    # The four cases of the rate limiter this project's second ancestor tested, with continuous refill.

    def test_the_request_limit_blocks_the_request_after_the_last(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=3)})
        for _ in range(3):
            admitted(limits, ask_of("a"))
        error = refused(limits, ask_of("a", wait_s=0))
        assert error.retry_after_s == 20

    def test_ninety_of_a_hundred_tokens_leave_no_room_for_twenty(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=100)})
        admitted(limits, ask_of("a", tokens=50))
        admitted(limits, ask_of("a", tokens=40))
        assert isinstance(refused(limits, ask_of("a", tokens=20, wait_s=0)), RateLimited)
        admitted(limits, ask_of("a", tokens=10))

    def test_a_cancelled_waiter_is_never_admitted_and_takes_nothing(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=1)})
        admitted(limits, ask_of("a"))
        ticket = queued(limits, ask_of("a"))
        assert limits.cancel(ticket)
        assert not limits.cancel(ticket)
        assert limits.next_wake(START) is None
        assert limits.pump(START + MINUTE) == ()
        admitted(limits, ask_of("a"), START + MINUTE)

    def test_all_is_there_again_after_a_minute(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=2, tokens_per_minute=100)})
        for start in (START, START + 61 * SECOND):
            admitted(limits, ask_of("a", tokens=50), start)
            admitted(limits, ask_of("a", tokens=50), start)
            refused(limits, ask_of("a", tokens=1, wait_s=0), start)

    # Reservations.

    def test_settling_below_the_reservation_gives_the_difference_back(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=100)})
        reservation = admitted(limits, ask_of("a", tokens=100))
        limits.settle(reservation, tokens=30, cost_picousd=0, now=START)
        admitted(limits, ask_of("a", tokens=70))
        refused(limits, ask_of("a", tokens=1, wait_s=0))

    def test_settling_above_the_reservation_makes_a_debt_that_time_pays_off(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=60)})
        reservation = admitted(limits, ask_of("a", tokens=60))
        limits.settle(reservation, tokens=90, cost_picousd=0, now=START)
        assert refused(limits, ask_of("a", tokens=1, wait_s=0)).retry_after_s == 31

    def test_a_release_gives_everything_back(self) -> None:
        spec = LimitSpec(requests_per_minute=1, tokens_per_minute=10, cost_per_day_picousd=10, parallel=1)
        limits = self.make({key("a"): spec})
        ask = Ask(scopes=(key("a"),), tokens=10, cost_picousd=10, deadline_ns=START)
        for _ in range(3):
            limits.release(admitted(limits, ask), now=START)
        admitted(limits, ask)
        refused(limits, ask)

    def test_what_refill_has_paid_for_is_not_given_back_once_more(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=60)})
        first = admitted(limits, ask_of("a", tokens=60))
        later = START + 59 * SECOND
        admitted(limits, ask_of("a", tokens=59), later)
        limits.release(first, now=later)
        admitted(limits, ask_of("a", tokens=1), later)
        refused(limits, ask_of("a", tokens=1, wait_s=0, now=later), later)

    def test_a_reservation_is_closed_once(self) -> None:
        limits = self.make({})
        reservation = admitted(limits, ask_of("a"))
        limits.settle(reservation, tokens=0, cost_picousd=0, now=START)
        with pytest.raises(ValueError, match="not open"):
            limits.settle(reservation, tokens=0, cost_picousd=0, now=START)
        with pytest.raises(ValueError, match="not open"):
            limits.release(reservation, now=START)

    # All scopes or none.

    def test_what_one_scope_refuses_costs_the_others_nothing(self) -> None:
        specs = {key("a"): LimitSpec(requests_per_minute=2), MODEL: LimitSpec(requests_per_minute=1)}
        limits = self.make(specs)
        admitted(limits, ask_of("a"))
        for _ in range(5):
            refused(limits, ask_of("a", wait_s=0))
        admitted(limits, Ask(scopes=(key("a"),)))
        refused(limits, Ask(scopes=(key("a"),), deadline_ns=START))

    @pytest.mark.parametrize("places", [1, 5, 16])
    def test_of_ten_times_as_many_exactly_as_many_get_in_as_there_are_places(self, places: int) -> None:
        limits = self.make({MODEL: LimitSpec(parallel=places)}, max_waiting=1_000)
        answers = [limits.offer(ask_of(f"k{n}"), START) for n in range(10 * places)]
        inside = [answer.reservation_id for answer in answers if isinstance(answer, Admitted)]
        assert len(inside) == places
        served = places
        while inside:  # each end lets exactly one in, until everybody was
            limits.settle(inside.pop(0), tokens=0, cost_picousd=0, now=START)
            for _, decision in limits.pump(START):
                assert isinstance(decision, Admitted)
                inside.append(decision.reservation_id)
                served += 1
            assert len(inside) == min(places, 10 * places - served + len(inside))
        assert served == 10 * places

    # Refusals.

    def test_more_than_the_capacity_is_refused_for_good(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=100)})
        error = refused(limits, ask_of("a", tokens=101))
        assert isinstance(error, RateLimited)
        assert error.retry_after_s is None
        assert "101 is more than the tokens per minute of this key" in str(error)

    def test_an_ask_that_cannot_make_its_deadline_is_refused_at_once_with_the_exact_time(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=7)})
        admitted(limits, ask_of("a", tokens=7))
        wait_s = refused(limits, ask_of("a", tokens=3, wait_s=25)).retry_after_s
        assert wait_s is not None
        exact = 3 * MINUTE / 7
        assert abs(wait_s * SECOND - exact) < 1_000_000
        instant = START + round(wait_s * SECOND)
        refused(limits, ask_of("a", tokens=3, wait_s=0, now=instant - 2_000), instant - 2_000)
        admitted(limits, ask_of("a", tokens=3, wait_s=0, now=instant), instant)

    def test_retry_after_counts_those_who_wait_already(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=6)})
        for _ in range(6):
            admitted(limits, ask_of("a"))
        tickets = [queued(limits, ask_of("a", wait_s=60)) for _ in range(3)]
        assert refused(limits, ask_of("a", wait_s=39)).retry_after_s == 40
        instant = START + 40 * SECOND
        assert passed(limits, instant) == tickets
        admitted(limits, ask_of("a", wait_s=0, now=instant), instant)

    def test_a_budget_counts_reservations_so_parallel_requests_cannot_overshoot_it(self) -> None:
        limits = self.make({key("a"): LimitSpec(cost_per_day_picousd=100)})
        ask = Ask(scopes=(key("a"),), cost_picousd=40, deadline_ns=START + MINUTE)
        reservation = admitted(limits, ask)
        admitted(limits, ask)
        assert isinstance(refused(limits, ask), BudgetExceeded)
        limits.settle(reservation, tokens=0, cost_picousd=10, now=START)
        admitted(limits, ask)

    def test_a_spent_budget_comes_back_at_midnight_less_what_was_overspent(self) -> None:
        limits = self.make({key("a"): LimitSpec(cost_per_day_picousd=100)})
        ask = Ask(scopes=(key("a"),), cost_picousd=60, deadline_ns=START + 7 * 3_600 * SECOND)
        six = START + 6 * 3_600 * SECOND
        reservation = admitted(limits, ask, six)
        limits.settle(reservation, tokens=0, cost_picousd=130, now=six)
        assert refused(limits, ask, six).retry_after_s == 18 * 3_600
        admitted(limits, ask, START + DAY)
        refused(limits, Ask(scopes=(key("a"),), cost_picousd=11, deadline_ns=START + DAY), START + DAY)
        admitted(limits, Ask(scopes=(key("a"),), cost_picousd=10), START + DAY)

    # Waiting.

    def test_waiters_of_one_key_pass_in_order_each_at_the_instant_that_was_promised(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=6)})
        for _ in range(6):
            admitted(limits, ask_of("a"))
        tickets = [queued(limits, ask_of("a")) for _ in range(4)]
        now = START
        for number, ticket in enumerate(tickets, start=1):
            wake = limits.next_wake(now)
            assert wake == START + number * 10 * SECOND
            assert limits.pump(wake - 1) == ()
            assert passed(limits, wake) == [ticket]
            now = wake
        assert limits.next_wake(now) is None

    def test_a_small_ask_does_not_overtake_a_big_one_of_the_same_key(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=60)})
        admitted(limits, ask_of("a", tokens=60))
        big = queued(limits, ask_of("a", tokens=50))
        small = queued(limits, ask_of("a", tokens=1))
        assert passed(limits, START + 20 * SECOND) == []
        assert passed(limits, START + 51 * SECOND) == [big, small]

    def test_keys_on_one_model_take_turns_however_many_asks_each_has(self) -> None:
        limits = self.make({MODEL: LimitSpec(parallel=1)}, max_waiting=500, max_waiting_per_payer=200)
        reservation = admitted(limits, ask_of("greedy"))
        greedy = [queued(limits, ask_of("greedy")) for _ in range(100)]
        modest = [queued(limits, ask_of("modest")) for _ in range(3)]
        third = queued(limits, ask_of("third"))
        order = []
        for _ in range(8):
            limits.settle(reservation, tokens=0, cost_picousd=0, now=START)
            ((ticket, decision),) = limits.pump(START)
            assert isinstance(decision, Admitted)
            reservation = decision.reservation_id
            order.append(ticket)
        expected = [greedy[0], modest[0], third, greedy[1], modest[1], greedy[2], modest[2], greedy[3]]
        assert order == expected

    def test_a_key_at_its_own_limit_does_not_hold_up_others_on_the_model(self) -> None:
        specs = {key("a"): LimitSpec(requests_per_minute=1), MODEL: LimitSpec(requests_per_minute=60)}
        limits = self.make(specs)
        admitted(limits, ask_of("a"))
        queued(limits, ask_of("a"))
        for _ in range(59):
            admitted(limits, ask_of("b"))

    def test_a_waiter_whose_key_ran_dry_meanwhile_lets_others_by(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=60), MODEL: LimitSpec(parallel=1)})
        held = admitted(limits, ask_of("b"))
        dry = queued(limits, ask_of("a", tokens=30))
        behind = queued(limits, ask_of("b"))
        admitted(limits, Ask(scopes=(key("a"), ("model", "other")), tokens=60))
        limits.settle(held, tokens=0, cost_picousd=0, now=START)
        ((ticket, decision),) = limits.pump(START)
        assert ticket == behind
        assert isinstance(decision, Admitted)
        limits.settle(decision.reservation_id, tokens=0, cost_picousd=0, now=START)
        assert passed(limits, START) == []
        assert limits.next_wake(START) == START + 30 * SECOND
        assert passed(limits, START + 30 * SECOND) == [dry]

    def test_a_newcomer_does_not_take_what_gathers_for_somebody_else(self) -> None:
        limits = self.make({MODEL: LimitSpec(tokens_per_minute=60)})
        admitted(limits, ask_of("a", tokens=60))
        big = queued(limits, ask_of("b", tokens=50))
        small = queued(limits, ask_of("c", tokens=1), START + 20 * SECOND)
        assert passed(limits, START + 50 * SECOND) == [big]
        assert passed(limits, START + 51 * SECOND) == [small]

    def test_a_waiter_at_one_model_does_not_hold_up_its_key_at_another(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=60), MODEL: LimitSpec(parallel=1)})
        admitted(limits, ask_of("a"))
        queued(limits, ask_of("a"))
        admitted(limits, Ask(scopes=(key("a"), ("model", "other"))))

    def test_room_at_the_key_gathers_for_whoever_waits_there_first(self) -> None:
        """Small asks at another model do not starve one that needs both its key and a contended model."""
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=60), MODEL: LimitSpec(parallel=1)})
        reservation = admitted(limits, ask_of("a", tokens=60))
        patient = queued(limits, ask_of("a", tokens=60))
        limits.settle(reservation, tokens=60, cost_picousd=0, now=START)
        assert passed(limits, START) == []
        blocker = admitted(limits, ask_of("b"))
        other = queued(limits, Ask(scopes=(key("a"), ("model", "other")), tokens=1))
        later = START + MINUTE
        assert passed(limits, later) == []
        limits.settle(blocker, tokens=0, cost_picousd=0, now=later)
        assert passed(limits, later) == [patient]
        assert passed(limits, later + SECOND) == [other]

    def test_a_waiter_with_less_to_ask_moves_up_when_the_one_before_it_gives_up(self) -> None:
        limits = self.make({key("a"): LimitSpec(tokens_per_minute=60)})
        admitted(limits, ask_of("a", tokens=50))
        big = queued(limits, ask_of("a", tokens=60))
        small = queued(limits, ask_of("a", tokens=10))
        limits.cancel(big)
        assert limits.next_wake(START) == START
        assert passed(limits, START) == [small]

    def test_a_waiter_is_refused_at_its_deadline_and_never_admitted_after_it(self) -> None:
        limits = self.make({MODEL: LimitSpec(parallel=1)})
        reservation = admitted(limits, ask_of("a"))
        on_time = queued(limits, ask_of("a", wait_s=5))
        late = queued(limits, ask_of("b", wait_s=4))
        assert limits.next_wake(START) == START + 4 * SECOND
        limits.settle(reservation, tokens=0, cost_picousd=0, now=START + 5 * SECOND)
        (first, refusal), (second, decision) = limits.pump(START + 5 * SECOND)
        assert (first, second) == (late, on_time)
        assert isinstance(refusal, Refused)
        assert isinstance(refusal.error, RateLimited)
        assert isinstance(decision, Admitted)

    def test_a_waiter_whom_nothing_lets_in_is_refused_when_its_deadline_comes(self) -> None:
        limits = self.make({MODEL: LimitSpec(parallel=1)})
        admitted(limits, ask_of("a"))
        ticket = queued(limits, ask_of("a", wait_s=5))
        assert limits.pump(START + 5 * SECOND - 1) == ()
        ((decided, decision),) = limits.pump(START + 5 * SECOND)
        assert decided == ticket
        assert isinstance(decision, Refused)

    def test_one_key_cannot_take_the_waiting_places_of_others(self) -> None:
        limits = self.make({MODEL: LimitSpec(parallel=1)}, max_waiting=4, max_waiting_per_payer=2)
        admitted(limits, ask_of("a"))
        queued(limits, ask_of("a"))
        queued(limits, ask_of("a"))
        assert isinstance(refused(limits, ask_of("a")), RateLimited)
        queued(limits, ask_of("b"))
        queued(limits, ask_of("c"))
        assert isinstance(refused(limits, ask_of("d")), Overloaded)

    @pytest.mark.parametrize("spec", [LimitSpec(parallel=3), LimitSpec(requests_per_minute=3)])
    def test_a_payers_line_is_twice_as_long_as_what_its_limit_lets_through(self, spec: LimitSpec) -> None:
        limits = self.make({key("a"): spec})
        for _ in range(3):
            admitted(limits, ask_of("a"))
        tickets = [queued(limits, ask_of("a")) for _ in range(6)]
        error = refused(limits, ask_of("a"))
        assert isinstance(error, RateLimited)
        assert error.retry_after_s is not None
        limits.cancel(tickets[0])
        queued(limits, ask_of("a"))

    # Clocks.

    def test_a_clock_that_steps_back_refills_nothing_and_stops_nothing(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=60)})
        for _ in range(60):
            admitted(limits, ask_of("a"))
        ticket = queued(limits, ask_of("a"))
        back = START - 3_600 * SECOND
        assert limits.pump(back) == ()
        assert limits.next_wake(back) == back + SECOND
        assert passed(limits, back + SECOND) == [ticket]

    def test_a_clock_that_steps_forward_fills_no_bucket_over_its_burst(self) -> None:
        limits = self.make({key("a"): LimitSpec(requests_per_minute=2)})
        later = START + 3_600 * SECOND
        admitted(limits, ask_of("a"))
        admitted(limits, ask_of("a"), later)
        admitted(limits, ask_of("a"), later)
        refused(limits, ask_of("a", wait_s=0, now=later), later)

    def test_who_finds_its_own_limit_used_up_when_its_turn_comes_is_woken_when_there_is_room(self) -> None:
        soon, later = ("model", "soon"), ("model", "later")
        limits = self.make(
            {
                key("a"): LimitSpec(tokens_per_minute=60),
                soon: LimitSpec(requests_per_minute=60),
                later: LimitSpec(requests_per_minute=60),
            }
        )
        for model in (soon, later):
            admitted(limits, Ask(scopes=(model,), requests=60))
        first = admitted(limits, ask_of("a", tokens=40))
        cheap = queued(limits, Ask(scopes=(key("a"), soon), tokens=10))
        before = queued(limits, Ask(scopes=(later,), requests=2))
        dear = queued(limits, Ask(scopes=(key("a"), later), tokens=55))
        limits.release(first, now=START)
        assert passed(limits, START) == []  # `dear` waits for its turn at `later` and has room at `a`,
        assert passed(limits, START + SECOND) == [cheap]  # until this one comes
        assert passed(limits, START + 2 * SECOND) == [before]
        assert limits.next_wake(START + 2 * SECOND) == START + 6 * SECOND
        assert passed(limits, START + 6 * SECOND) == [dear]
