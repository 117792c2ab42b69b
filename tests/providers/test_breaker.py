"""The circuit breaker of a provider."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.errors import (
    CallboardError,
    DeadlineExceeded,
    RemoteWireError,
    StreamIncomplete,
    UpstreamAuthentication,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNotFound,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from callboard.providers.breaker import Admission, Breaker, Outcome, outcome_of


def state_of(breaker: Breaker) -> str:
    """The state, read anew each time: a property would be taken as unchanged between two assertions."""
    return breaker.state


def admitted(breaker: Breaker, now_s: float) -> Admission:
    admission = breaker.admit(now_s)
    assert admission is not None
    return admission


def call(breaker: Breaker, outcome: Outcome, now_s: float) -> None:
    breaker.record(admitted(breaker, now_s), outcome, now_s)


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        call(breaker, Outcome.BAD, at_s)
    return breaker


def test_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for _ in range(4):
        call(breaker, Outcome.BAD, 0.0)
    assert state_of(breaker) == "closed"
    call(breaker, Outcome.BAD, 0.0)
    assert state_of(breaker) == "open"


def test_a_good_call_between_failures_starts_the_count_again() -> None:
    breaker = Breaker()
    for outcome in [Outcome.BAD] * 4 + [Outcome.GOOD] + [Outcome.BAD] * 4:
        call(breaker, outcome, 0.0)
    assert state_of(breaker) == "closed"


def test_a_silent_call_neither_counts_nor_starts_the_count_again() -> None:
    breaker = Breaker()
    for outcome in [Outcome.BAD, Outcome.SILENT] * 4:
        call(breaker, outcome, 0.0)
    assert state_of(breaker) == "closed"
    call(breaker, Outcome.BAD, 0.0)
    assert state_of(breaker) == "open"


def test_a_hundred_thousand_good_calls_never_open_it() -> None:
    breaker = Breaker()
    for index in range(100_000):
        call(breaker, Outcome.GOOD, index / 1000)
    assert state_of(breaker) == "closed"


def test_rests_a_second_before_the_first_probe() -> None:
    breaker = opened(at_s=10.0)
    assert breaker.admit(10.99) is None
    assert breaker.retry_after_s(10.25) == 0.75
    assert admitted(breaker, 11.0).probe


def test_admits_one_probe_at_a_time() -> None:
    breaker = opened()
    probe = admitted(breaker, 1.0)
    assert breaker.admit(100.0) is None
    breaker.record(probe, Outcome.BAD, 100.0)
    assert admitted(breaker, 100.0).probe


def test_two_good_probes_close_it() -> None:
    breaker = opened()
    call(breaker, Outcome.GOOD, 1.0)
    assert state_of(breaker) == "open"
    call(breaker, Outcome.GOOD, 2.0)
    assert state_of(breaker) == "closed"
    assert breaker.retry_after_s(2.0) == 0.0
    assert not admitted(breaker, 2.0).probe


def test_a_bad_probe_between_good_ones_keeps_it_open() -> None:
    breaker = opened()
    for second, outcome in enumerate([Outcome.GOOD, Outcome.BAD, Outcome.GOOD], start=1):
        call(breaker, outcome, float(second))
    assert state_of(breaker) == "open"


def test_a_cancelled_probe_makes_room_for_the_next() -> None:
    breaker = opened()
    call(breaker, Outcome.SILENT, 1.0)
    assert breaker.admit(1.5) is None
    assert admitted(breaker, 2.0).probe


def test_calls_admitted_before_it_opened_neither_close_it_nor_free_its_probe() -> None:
    breaker = Breaker()
    early = [admitted(breaker, 0.0) for _ in range(3)]
    for _ in range(5):
        call(breaker, Outcome.BAD, 0.0)
    admitted(breaker, 1.0)
    for admission in early:
        breaker.record(admission, Outcome.GOOD, 1.5)
    assert state_of(breaker) == "open"
    assert breaker.admit(3.0) is None


def test_failures_of_an_earlier_epoch_do_not_open_it_again() -> None:
    breaker = Breaker()
    early = [admitted(breaker, 0.0) for _ in range(5)]
    for _ in range(5):
        call(breaker, Outcome.BAD, 0.0)
    for second in (1.0, 2.0):
        call(breaker, Outcome.GOOD, second)
    for admission in early:
        breaker.record(admission, Outcome.BAD, 3.0)
    assert state_of(breaker) == "closed"


@dataclass
class Step:
    wait_s: float
    outcome: Outcome


# Multiples of a power of two, so that sums and differences of times are exact.
waits_s = st.integers(0, 1536).map(lambda n: n / 1024)
steps = st.builds(Step, waits_s, st.sampled_from(Outcome))


@given(st.lists(steps, max_size=60))
def test_probes_are_at_least_a_second_apart_whatever_happens(script: list[Step]) -> None:
    breaker = opened()
    now_s = 0.0
    probes: list[float] = []
    for step in script:
        now_s += step.wait_s
        admission = breaker.admit(now_s)
        if admission is not None:
            if admission.probe:
                probes.append(now_s)
            breaker.record(admission, step.outcome, now_s)
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(probes))


@pytest.mark.parametrize(
    "error",
    [UpstreamServerError, UpstreamTimeout, UpstreamUnreachable, UpstreamOverloaded, StreamIncomplete],
)
def test_failures_of_the_provider_are_bad(error: type[UpstreamError]) -> None:
    assert outcome_of(error("x")) is Outcome.BAD


@pytest.mark.parametrize(
    "error", [UpstreamInvalid, UpstreamNotFound, UpstreamAuthentication, UpstreamRateLimited]
)
def test_an_answer_that_finds_fault_with_the_call_is_good(error: type[UpstreamError]) -> None:
    assert outcome_of(error("x")) is Outcome.GOOD


@pytest.mark.parametrize("error", [DeadlineExceeded, RemoteWireError])
def test_what_says_nothing_of_the_provider_is_silent(error: type[CallboardError]) -> None:
    assert outcome_of(error("x")) is Outcome.SILENT
    assert outcome_of(None) is Outcome.GOOD


def test_a_cancelled_call_is_silent() -> None:
    assert outcome_of(BaseException()) is Outcome.SILENT
