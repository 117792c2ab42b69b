"""Whether a failed upstream call is tried again, and when: pure decisions and their budget.

Only a call that failed in a retryable way, before any byte of its answer was shown, is tried again; never
earlier than the provider asked, never later than the caller would still be there. The budget keeps an outage
from being fed: a provider that fails everything sees at most ten per cent more calls than it would without
retries.

Trying *another* provider is not a retry: each provider sees the request once.
"""

from __future__ import annotations

from msgspec import Struct

from callboard.errors import UpstreamError


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and how fast one provider is asked again within one request.

    Attributes:
        max_attempts: Calls to one provider, the first included.
        backoff_s: Upper bound of the first wait without advice from the provider; doubles with every attempt.
        max_backoff_s: Where the doubling ends.
        max_retry_after_s: The longest advice that is waited for; a provider that asks for more is not
            retried, because waiting less would be early and waiting that long is of no use to a caller.
    """

    max_attempts: int = 3
    backoff_s: float = 0.5
    max_backoff_s: float = 8.0
    max_retry_after_s: float = 60.0


class FailedAttempt(Struct, frozen=True, kw_only=True):
    """A failed call.

    Attributes:
        error: What it failed with.
        attempt: 1 after the first failure.
        shown: Whether anything of its answer has gone to the client already.
    """

    error: BaseException
    attempt: int
    shown: bool = False


def retry_delay_s(
    policy: RetryPolicy,
    failed: FailedAttempt,
    *,
    jitter: float,
    now_s: float,
    deadline_s: float | None,
) -> float | None:
    """Seconds to wait before the next attempt, or None where there must be none.

    Full jitter: the wait is uniform between nothing and the back-off, on top of what the provider asked for,
    so that clients that were turned away together do not come back together.

    Args:
        policy: The operator's choice.
        failed: The attempt that has just failed.
        jitter: A random number from [0, 1).
        now_s: The caller's clock.
        deadline_s: When the caller stops waiting, on the same clock; None where it never does.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
    """
    if failed.shown or failed.attempt >= policy.max_attempts or not is_retryable(failed.error):
        return None
    advised_s = _advice_s(failed.error)
    if advised_s > policy.max_retry_after_s:
        return None
    # The exponent is bounded so that a large attempt number cannot overflow a float.
    backoff_s = min(policy.backoff_s * 2.0 ** min(failed.attempt - 1, 60), policy.max_backoff_s)
    delay_s = advised_s + jitter * backoff_s
    if deadline_s is not None and now_s + delay_s >= deadline_s:
        return None
    return delay_s


def is_retryable(error: BaseException) -> bool:
    """Whether the same provider may answer the same call well a little later."""
    return isinstance(error, UpstreamError) and error.retryable


def _advice_s(error: BaseException) -> float:
    advised_s = error.retry_after_s if isinstance(error, UpstreamError) else None
    return max(advised_s or 0.0, 0.0)


class RetryBudget:
    """Allows retries as a share of first calls: at most ``reserve + ratio * calls`` in any run of ``calls``.

    Every first call pays ``ratio`` of a retry in, every retry takes a whole one out. The reserve, full at the
    start, lets a quiet system retry at all. With the defaults a full outage over 10,000 requests sees 910
    retries: 1.091 calls a request.
    """

    def __init__(self, *, ratio: float = 0.09, reserve: float = 10.0) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._balance = reserve

    def called(self) -> None:
        """A first call was made."""
        self._balance = min(self._balance + self._ratio, self._reserve)

    def withdraw(self) -> bool:
        """Take one retry out; False, and nothing taken, where the budget is spent."""
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True
