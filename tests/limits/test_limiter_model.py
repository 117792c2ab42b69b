"""The limiter against an exact model in fractions, on a virtual clock that also steps back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callboard.errors import BudgetExceeded, RateLimited
from callboard.limits import Admitted, Ask, LimitSpec, MemoryLimits, Queued, Refused, Scope
from tests.limits.exact import DAY_NS, MINUTE_NS, ExactGate

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
SPECS: dict[Scope, LimitSpec] = {
    ("key", "a"): LimitSpec(requests_per_minute=6, tokens_per_minute=100, parallel=2),
    ("key", "b"): LimitSpec(requests_per_minute=7, cost_per_day_picousd=900),
    ("key", "c"): LimitSpec(),
    ("model", "m"): LimitSpec(requests_per_minute=8, tokens_per_minute=150, parallel=3),
    ("model", "n"): LimitSpec(tokens_per_minute=130, cost_per_day_picousd=1500),
    ("provider", "p"): LimitSpec(requests_per_minute=11, parallel=4),
}
OFFERS = st.tuples(
    st.sampled_from("aaabbc"),  # key
    st.sampled_from("mmn"),  # model
    st.sampled_from([1, 1, 1, 1, 2, 7]),  # requests
    st.one_of(st.integers(0, 40), st.integers(0, 140)),  # tokens
    st.one_of(st.integers(0, 200), st.integers(0, 1000)),  # cost
    st.sampled_from([None, None, None, 0, 20, 60, 7200]),  # patience in seconds
)
START = 20_000 * DAY_NS + 22 * HOUR_NS + 30 * MINUTE_NS  # midnight is near


@dataclass
class Reservation:
    ask: Ask
    elapsed: int  # time that really passed before the admission
    day: int
    used: tuple[int, int, int]  # of what was reserved: all of it until it is closed


class LimiterMachine(RuleBasedStateMachine):
    """Offers, cancels, settles, releases and moves the clock; pumps after each step as the actor would."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.elapsed = 0
        self.latest = START
        self.limits = MemoryLimits(SPECS.__getitem__, ttl_ns=30 * DAY_NS)
        self.gates = {scope: ExactGate(spec, START) for scope, spec in SPECS.items()}
        for scope in SPECS:
            self.probe(scope)
        self.waiting: dict[int, Ask] = {}
        self.turns: dict[tuple[Scope, ...], int] = {}
        self.turn = 0
        self.open: dict[int, Reservation] = {}
        self.history: list[Reservation] = []

    # --- rules ----------------------------------------------------------------------------------------------

    @rule(rush=st.lists(OFFERS, min_size=1, max_size=8))
    def offers(self, rush: list[tuple[str, str, int, int, int, int | None]]) -> None:
        for key, model, requests, tokens, cost, patience_s in rush:
            self.offer(key, model, requests, tokens, cost, patience_s)
        self.pump()

    def offer(
        self, key: str, model: str, requests: int, tokens: int, cost: int, patience_s: int | None
    ) -> None:
        scopes: tuple[Scope, ...] = (("key", key), ("model", model))
        if model == "m":
            scopes += (("provider", "p"),)
        deadline = None if patience_s is None else self.now + patience_s * SECOND_NS
        ask = Ask(scopes=scopes, requests=requests, tokens=tokens, cost_picousd=cost, deadline_ns=deadline)
        rivals = [other for other in self.waiting.values() if set(other.scopes) & set(scopes)]
        fits = all(self.gates[scope].fits(ask, self.now) for scope in scopes)
        saved_for_others = {self.waits_at(other) for other in self.heads()}
        match self.limits.offer(ask, self.now):
            case Admitted(reservation_id=number):
                assert fits
                assert not saved_for_others & set(scopes), "jumped a queue"
                assert all(other.scopes != scopes for other in self.waiting.values()), "jumped a queue"
                self.admit(number, ask)
            case Queued(ticket=ticket, wake_at_ns=wake_at):
                assert rivals or not fits
                assert wake_at == self.limits.next_wake(self.now)
                self.waiting[ticket] = ask
                self.turns.setdefault(scopes, self.next_turn())
            case Refused(error=error):
                assert rivals or not fits
                assert isinstance(error, RateLimited)
                never = any(self.gates[scope].never_fits(ask) for scope in scopes)
                assert (error.retry_after_s is None) == never
                if not rivals and not never:
                    self.check_retry_after(ask, error)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.limits.cancel(ticket)
        assert not self.limits.cancel(ticket)
        self.forget(ticket)
        self.pump()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), percent=st.integers(0, 160))
    def settle(self, data: st.DataObject, percent: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        ask = self.open[number].ask
        tokens, cost = ask.tokens * percent // 100, ask.cost_picousd * percent // 100
        self.limits.settle(number, tokens=tokens, cost_picousd=cost, now=self.now)
        self.close(number, (0, ask.tokens - tokens, ask.cost_picousd - cost))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        self.limits.release(number, now=self.now)
        self.close(number, self.open[number].ask.amounts)

    @rule(step_ns=st.one_of(st.integers(1, 40 * SECOND_NS), st.sampled_from([HOUR_NS, -HOUR_NS, -SECOND_NS])))
    def tick(self, step_ns: int) -> None:
        self.move(self.now + step_ns)
        self.pump()

    @rule()
    def sleep_until_next_wake(self) -> None:
        wake = self.limits.next_wake(self.now)
        if wake is not None and wake - self.now < DAY_NS:
            self.move(wake - 1)
            assert self.limits.pump(self.now) == (), "something was due before the wake that was promised"
            self.move(wake)
            self.pump()

    # --- what must hold -------------------------------------------------------------------------------------

    @invariant()
    def whoever_has_the_first_turn_lacks_room(self) -> None:
        """Nobody waits in vain: the first in turn is not held up by anything but the limits themselves."""
        if self.waiting:
            scopes = min(self.turns, key=self.turns.__getitem__)
            first = next(ask for ask in self.heads() if ask.scopes == scopes)
            assert self.lacking(first)

    @invariant()
    def places_are_not_oversold(self) -> None:
        assert all(gate.parallel is None or gate.in_flight <= gate.parallel for gate in self.gates.values())

    @invariant()
    def counts_agree(self) -> None:
        statistics = self.limits.statistics()
        assert (statistics.open, statistics.waiting) == (len(self.open), len(self.waiting))

    def teardown(self) -> None:
        """In any window no more was used than burst + rate · t, and in no day more than its budget."""
        for scope, spec in SPECS.items():
            mine = [entry for entry in self.history if scope in entry.ask.scopes]
            for index, rate in ((0, spec.requests_per_minute), (1, spec.tokens_per_minute)):
                for first in range(len(mine) if rate is not None else 0):
                    used = 0
                    for entry in mine[first:]:
                        used += entry.used[index]
                        passed = entry.elapsed - mine[first].elapsed
                        assert used <= Fraction(rate or 0) * (1 + Fraction(passed, MINUTE_NS))
            if spec.cost_per_day_picousd is not None:
                for day in {entry.day for entry in mine}:
                    spent = sum(entry.used[2] for entry in mine if entry.day == day)
                    assert spent <= spec.cost_per_day_picousd

    # --- the model ------------------------------------------------------------------------------------------

    def pump(self) -> None:
        for ticket, decision in self.limits.pump(self.now):
            ask = self.waiting[ticket]
            older = [t for t, other in self.waiting.items() if t < ticket and other.scopes == ask.scopes]
            if isinstance(decision, Admitted):
                assert not older, "first come, first served among those with the same scopes"
                assert ask.deadline_ns is None or self.now <= ask.deadline_ns
                self.admit(decision.reservation_id, ask)
                self.turns[ask.scopes] = self.next_turn()
            else:
                assert ask.deadline_ns is not None
                assert ask.deadline_ns <= self.now
            self.forget(ticket)
        assert self.limits.pump(self.now) == ()

    def admit(self, number: int, ask: Ask) -> None:
        for scope in ask.scopes:
            assert self.gates[scope].fits(ask, self.now)
            self.gates[scope].take(ask, number)
        day = self.latest // DAY_NS
        self.open[number] = Reservation(ask=ask, elapsed=self.elapsed, day=day, used=ask.amounts)
        self.history.append(self.open[number])

    def close(self, number: int, unused: tuple[int, int, int]) -> None:
        entry = self.open.pop(number)
        for scope in entry.ask.scopes:
            self.gates[scope].settle(number, unused, self.now)
        requests, tokens, cost = entry.ask.amounts
        entry.used = (
            requests - unused[0],
            min(tokens, tokens - unused[1]),
            min(cost, cost - unused[2]),
        )
        with pytest.raises(ValueError, match="not open"):
            self.limits.release(number, now=self.now)
        self.pump()

    def heads(self) -> list[Ask]:
        """The asks that are first among those with the same scopes."""
        oldest: dict[tuple[Scope, ...], Ask] = {}
        for ticket in sorted(self.waiting):
            oldest.setdefault(self.waiting[ticket].scopes, self.waiting[ticket])
        return list(oldest.values())

    def lacking(self, ask: Ask) -> list[Scope]:
        return [scope for scope in ask.scopes if not self.gates[scope].fits(ask, self.now)]

    def waits_at(self, ask: Ask) -> Scope | None:
        """Where ``ask`` surely stands: only there it lacks room, and nobody is ahead of it elsewhere."""
        match self.lacking(ask):
            case [scope]:
                elsewhere = set(ask.scopes) - {scope}
                rivals = [other for other in self.heads() if other is not ask]
                return None if any(elsewhere & set(other.scopes) for other in rivals) else scope
            case _:
                return None

    def forget(self, ticket: int) -> None:
        ask = self.waiting.pop(ticket)
        if all(other.scopes != ask.scopes for other in self.waiting.values()):
            del self.turns[ask.scopes]

    def next_turn(self) -> int:
        self.turn += 1
        return self.turn

    def move(self, now: int) -> None:
        self.elapsed += max(now - self.now, 0)
        self.now = now
        self.latest = max(self.latest, now)
        for scope in SPECS:
            self.probe(scope)

    def probe(self, scope: Scope) -> None:
        """Show the scope the new time, so that the model and the limiter see the same readings."""
        self.gates[scope].fits(Ask(scopes=(scope,), requests=0), self.now)
        shown = self.limits.offer(Ask(scopes=(scope,), requests=0, deadline_ns=self.now), self.now)
        if isinstance(shown, Admitted):
            self.limits.release(shown.reservation_id, now=self.now)

    def check_retry_after(self, ask: Ask, error: RateLimited) -> None:
        assert error.retry_after_s is not None
        gates = [self.gates[scope] for scope in ask.scopes]
        lacks: list[tuple[int, int]] = []
        for gate in gates:
            for index, meter in gate.meters.items():
                need = ask.amounts[index] - meter.level
                if ask.amounts[index] and need > 0 and meter.rate is not None:
                    lacks.append((self.now + int(-(-need // meter.rate)), index))
                elif ask.amounts[index] and need > 0:
                    lacks.append(((meter.now + int(-(-need // meter.capacity))) * DAY_NS, index))
        if lacks:
            at, index = max(lacks, key=lambda lack: lack[0])
            promised = self.now + round(error.retry_after_s * 1e9)
            assert at <= promised < at + 1_000
            decisive = {other for when, other in lacks if when == at}
            assert isinstance(error, BudgetExceeded) == (index == 2) or len(decisive) > 1
        else:
            assert any(gate.parallel is not None and gate.in_flight >= gate.parallel for gate in gates)


def test_the_limiter_agrees_with_the_exact_model() -> None:
    run_state_machine_as_test(
        LimiterMachine, settings=settings(max_examples=150, stateful_step_count=50, deadline=None)
    )


@pytest.mark.soak
def test_the_limiter_agrees_with_the_exact_model_for_long() -> None:
    run_state_machine_as_test(
        LimiterMachine, settings=settings(max_examples=2_000, stateful_step_count=50, deadline=None)
    )
