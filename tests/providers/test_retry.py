"""Retrying upstream calls: the delay, and the budget."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.errors import (
    Overloaded,
    StreamIncomplete,
    UpstreamAuthentication,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNotFound,
    UpstreamOverloaded,
    UpstreamPermission,
    UpstreamQuota,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from callboard.providers.retry import FailedAttempt, RetryBudget, RetryPolicy, retry_delay_s

POLICY = RetryPolicy()


def delay(
    error: BaseException,
    *,
    attempt: int = 1,
    shown: bool = False,
    jitter: float = 0.5,
    deadline_s: float | None = None,
    policy: RetryPolicy = POLICY,
) -> float | None:
    failed = FailedAttempt(error=error, attempt=attempt, shown=shown)
    return retry_delay_s(policy, failed, jitter=jitter, now_s=100.0, deadline_s=deadline_s)


@pytest.mark.parametrize(
    "error",
    [UpstreamRateLimited, UpstreamOverloaded, UpstreamServerError, UpstreamTimeout, UpstreamUnreachable],
)
def test_what_may_pass_is_tried_again(error: type[UpstreamError]) -> None:
    assert delay(error("x")) == 0.25


@pytest.mark.parametrize(
    "error",
    [
        UpstreamInvalid("x"),
        UpstreamNotFound("x"),
        UpstreamAuthentication("x"),
        UpstreamPermission("x"),
        UpstreamQuota("x"),
        StreamIncomplete("x"),
        Overloaded("ours, not the provider's"),
        ValueError("x"),
    ],
)
def test_what_would_fail_alike_is_not(error: BaseException) -> None:
    assert delay(error) is None


def test_nothing_is_tried_again_once_something_was_shown() -> None:
    assert delay(UpstreamServerError("x"), shown=True) is None


def test_the_attempts_are_counted_with_the_first() -> None:
    assert delay(UpstreamServerError("x"), attempt=2) is not None
    assert delay(UpstreamServerError("x"), attempt=3) is None


def test_the_back_off_doubles_to_its_end() -> None:
    policy = RetryPolicy(max_attempts=5000)
    waits = [
        delay(UpstreamServerError("x"), attempt=n, jitter=0.5, policy=policy)
        for n in (1, 2, 3, 4, 5, 6, 4999)
    ]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


@pytest.mark.parametrize(
    "advised_s, expected",
    [
        pytest.param(None, 0.25, id="no advice"),
        pytest.param(0.0, 0.25, id="at once"),
        pytest.param(-30.0, 0.25, id="a date that has passed"),
        pytest.param(7.5, 7.75, id="seconds"),
        pytest.param(60.0, 60.25, id="the longest we wait"),
        pytest.param(60.5, None, id="longer than we wait"),
        pytest.param(1e9, None, id="thirty years"),
    ],
)
def test_the_providers_advice_is_never_undercut(advised_s: float | None, expected: float | None) -> None:
    assert delay(UpstreamRateLimited("x", retry_after_s=advised_s)) == expected


@given(
    advised_s=st.one_of(st.none(), st.floats(-1e9, 1e9)),
    jitter=st.floats(0, 1, exclude_max=True),
    attempt=st.integers(1, 100),
    deadline_s=st.one_of(st.none(), st.floats(0, 1000)),
)
def test_no_retry_is_early_nor_late(
    advised_s: float | None, jitter: float, attempt: int, deadline_s: float | None
) -> None:
    error = UpstreamRateLimited("x", retry_after_s=advised_s)
    wait = delay(
        error, attempt=attempt, jitter=jitter, deadline_s=deadline_s, policy=RetryPolicy(max_attempts=1000)
    )
    if wait is not None:
        assert wait >= max(advised_s or 0.0, 0.0)
        assert wait < POLICY.max_retry_after_s + POLICY.max_backoff_s
        assert deadline_s is None or 100.0 + wait < deadline_s


def test_a_retry_that_would_begin_at_the_deadline_is_not_made() -> None:
    assert delay(UpstreamServerError("x"), deadline_s=100.25) is None
    assert delay(UpstreamServerError("x"), deadline_s=100.26) == 0.25


def test_a_full_outage_over_ten_thousand_requests_costs_at_most_a_tenth_more_calls() -> None:
    policy, budget, rng = RetryPolicy(), RetryBudget(), random.Random(6)
    calls = 0
    for _ in range(10_000):
        budget.called()
        calls += 1
        attempt = 1
        while True:
            failed = FailedAttempt(error=UpstreamServerError("down"), attempt=attempt)
            wait = retry_delay_s(policy, failed, jitter=rng.random(), now_s=0.0, deadline_s=None)
            if wait is None or not budget.withdraw():
                break
            calls += 1
            attempt += 1
    assert 10_900 <= calls <= 11_000


def test_a_quiet_system_may_retry_at_once() -> None:
    budget = RetryBudget()
    budget.called()
    assert budget.withdraw()


@given(st.lists(st.booleans(), max_size=400))
def test_retries_never_exceed_the_reserve_and_their_share(is_call: list[bool]) -> None:
    budget = RetryBudget(ratio=0.25, reserve=3.0)
    calls = retries = 0
    for each in is_call:
        if each:
            budget.called()
            calls += 1
        else:
            retries += budget.withdraw()
        assert retries <= 3.0 + 0.25 * calls


def test_good_times_are_not_saved_up_beyond_the_reserve() -> None:
    budget = RetryBudget(ratio=0.5, reserve=2.0)
    for _ in range(1000):
        budget.called()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
