"""The ledger: every attempt once, books that balance after every step."""

from __future__ import annotations

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

from callboard.domain.model import Price
from callboard.domain.usage import Usage
from callboard.limits import Attempt, Books, Ledger, LedgerLine, Totals
from callboard.limits.ledger import HEADINGS, Basis, Outcome

SECOND = 1_000_000_000
PRICE = Price(input_picousd=3, output_picousd=15, cache_read_picousd=1, cache_write_picousd=4)
ESTIMATE = Usage(input_tokens=10, output_tokens=20)
USAGES = st.builds(
    Usage,
    input_tokens=st.integers(0, 1_000),
    output_tokens=st.integers(0, 1_000),
    cache_read_tokens=st.integers(0, 1_000),
    cache_write_tokens=st.integers(0, 1_000),
    reasoning_tokens=st.integers(0, 100),
)
OUTCOMES: list[Outcome] = ["completed", "truncated", "cancelled", "failed"]
BASES: list[Basis] = ["reported", "estimated"]


def attempt_of(name: str, *, estimate: Usage = ESTIMATE, at: int = 0) -> Attempt:
    return Attempt(
        attempt_id=name,
        request_id=f"req_{name}",
        response_id=f"resp_{name}",
        key=f"key{len(name) % 2}",
        provider="scripted",
        model="m",
        estimate=estimate,
        price=PRICE,
        started_ns=at,
    )


def settle(
    ledger: Ledger, name: str, usage: Usage, *, prompt: Basis = "reported", output: Basis = "reported"
) -> LedgerLine:
    return ledger.settle(
        name, outcome="completed", usage=usage, prompt_basis=prompt, output_basis=output, ended_ns=SECOND
    )


def test_a_line_says_who_what_how_much_and_how_sure() -> None:
    ledger = Ledger()
    ledger.reserve(attempt_of("a"))
    usage = Usage(
        input_tokens=5, output_tokens=7, cache_read_tokens=11, cache_write_tokens=13, reasoning_tokens=2
    )
    line = settle(ledger, "a", usage, output="estimated")
    assert line == LedgerLine(
        attempt_id="a",
        request_id="req_a",
        response_id="resp_a",
        key="key1",
        provider="scripted",
        model="m",
        started_ns=0,
        ended_ns=SECOND,
        outcome="completed",
        input_tokens=5,
        cache_read_tokens=11,
        cache_write_tokens=13,
        prompt_basis="reported",
        output_tokens=7,
        reasoning_tokens=2,
        output_basis="estimated",
        cost_picousd=5 * 3 + 7 * 15 + 11 * 1 + 13 * 4,
        cost_basis="estimated",
    )
    assert ledger.recent == (line,)


@pytest.mark.parametrize("prompt", BASES)
@pytest.mark.parametrize("output", BASES)
def test_a_cost_is_reported_only_where_all_tokens_are(prompt: Basis, output: Basis) -> None:
    ledger = Ledger()
    ledger.reserve(attempt_of("a"))
    line = settle(ledger, "a", Usage(), prompt=prompt, output=output)
    assert (line.cost_basis == "reported") == (prompt == output == "reported")


def test_a_reservation_is_closed_exactly_once() -> None:
    ledger = Ledger()
    ledger.reserve(attempt_of("a"))
    with pytest.raises(ValueError, match="open already"):
        ledger.reserve(attempt_of("a"))
    settle(ledger, "a", Usage())
    for close in (lambda: settle(ledger, "a", Usage()), lambda: ledger.release("a")):
        with pytest.raises(ValueError, match="not open"):
            close()
    assert len(ledger.recent) == 1


def test_what_was_released_leaves_no_line() -> None:
    ledger = Ledger()
    ledger.reserve(attempt_of("a"))
    ledger.release("a")
    assert ledger.recent == ()
    assert ledger.totals(by="key") == {}
    assert ledger.token_books == Books(reserved=30, released=30)


def test_using_more_than_was_reserved_tops_the_reservation_up() -> None:
    ledger = Ledger()
    ledger.reserve(attempt_of("a"))
    settle(ledger, "a", Usage(output_tokens=50))
    assert ledger.token_books == Books(reserved=50, settled=50)
    # In money: 330 reserved, 750 used. The two units are kept apart.
    assert ledger.cost_books == Books(reserved=750, settled=750)


def test_a_vanished_holder_is_settled_at_the_estimate() -> None:
    ledger = Ledger(ttl_ns=10 * SECOND)
    ledger.reserve(attempt_of("old", at=0))
    ledger.reserve(attempt_of("young", at=SECOND))
    assert ledger.expire(10 * SECOND - 1) == ()
    (line,) = ledger.expire(10 * SECOND)
    assert (line.attempt_id, line.outcome, line.cost_basis) == ("old", "expired", "estimated")
    assert (line.input_tokens, line.output_tokens, line.ended_ns) == (10, 20, 10 * SECOND)
    assert ledger.token_books == Books(reserved=60, settled=30, open=30)


def test_memory_is_flat_and_totals_are_whole() -> None:
    ledger = Ledger(keep=3)
    for number in range(10):
        ledger.reserve(attempt_of(str(number)))
        settle(ledger, str(number), Usage(input_tokens=number))
    assert [line.attempt_id for line in ledger.recent] == ["7", "8", "9"]
    total = Totals(attempts=10, usage=Usage(input_tokens=45), cost_picousd=135)
    assert ledger.totals(by="model") == {"m": total}


class LedgerMachine(RuleBasedStateMachine):
    """Random ends of random attempts, against plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(keep=5, ttl_ns=60 * SECOND)
        self.now = 0
        self.names = 0
        self.open: dict[str, Attempt] = {}
        self.lines: list[LedgerLine] = []

    @rule(estimate=USAGES)
    def reserve(self, estimate: Usage) -> None:
        self.names += 1
        attempt = attempt_of("a" * self.names, estimate=estimate, at=self.now)
        self.ledger.reserve(attempt)
        self.open[attempt.attempt_id] = attempt

    @precondition(lambda self: self.open)
    @rule(data=st.data(), usage=USAGES, outcome=st.sampled_from(OUTCOMES), basis=st.sampled_from(BASES))
    def settle(self, data: st.DataObject, usage: Usage, outcome: Outcome, basis: Basis) -> None:
        name = data.draw(st.sampled_from(sorted(self.open)))
        line = self.ledger.settle(
            name, outcome=outcome, usage=usage, prompt_basis=basis, output_basis="reported", ended_ns=self.now
        )
        assert line.cost_picousd == PRICE.cost_picousd(usage)
        del self.open[name]
        self.lines.append(line)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.open)))
        self.ledger.release(name)
        del self.open[name]

    @rule(seconds=st.integers(1, 40))
    def expire(self, seconds: int) -> None:
        self.now += seconds * SECOND
        lost = [name for name, attempt in self.open.items() if attempt.started_ns + 60 * SECOND <= self.now]
        lines = self.ledger.expire(self.now)
        assert [line.attempt_id for line in lines] == lost
        for name in lost:
            del self.open[name]
        self.lines += lines

    @invariant()
    def the_books_balance(self) -> None:
        for books in (self.ledger.token_books, self.ledger.cost_books):
            assert books.reserved == books.settled + books.released + books.open
            assert min(books.settled, books.released, books.open) >= 0
        assert self.ledger.token_books.open == sum(a.estimate.total_tokens for a in self.open.values())
        assert self.ledger.cost_books.settled == sum(line.cost_picousd for line in self.lines)

    @invariant()
    def totals_are_the_sum_of_the_lines(self) -> None:
        for heading in HEADINGS:
            totals = self.ledger.totals(by=heading).values()
            assert sum(total.attempts for total in totals) == len(self.lines)
            assert sum(total.cost_picousd for total in totals) == self.ledger.cost_books.settled
            tokens = sum(total.usage.total_tokens for total in totals)
            assert tokens == self.ledger.token_books.settled
        assert self.ledger.recent == tuple(self.lines[-5:])


def test_the_books_balance_whatever_happens() -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=100, stateful_step_count=50, deadline=None)
    )


@pytest.mark.soak
def test_the_books_balance_whatever_happens_for_long() -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=2_000, stateful_step_count=50, deadline=None)
    )
