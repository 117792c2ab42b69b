"""The running account of one request: where its time goes and what it consumed.

A `Meter` belongs to one request from door to door. Whoever works on the request at the moment writes to it;
the work of one request is sequential, so no two tasks do at once. Every nanosecond falls into exactly one
phase, so that the split adds up by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from callboard.domain.observation import RequestClosed, TimeSplit
from callboard.domain.usage import Usage

Phase: TypeAlias = Literal["queue", "own", "ttfb", "upstream", "tool"]


NOTHING = Usage()


class Meter:
    """See the module's docstring.

    Args:
        request_id: Appears in every line and error of this request. It may be the client's own choice, so two
            requests may share it.
        route: The door it came through.
        clock_ns: Monotonic nanoseconds.
        account_id: What its attempts are accounted under: nobody else's; ``request_id`` where that is ours.

    Attributes:
        key_id: Whose limits and ledger lines it belongs to; None where none was needed.
        finished_at_s: When its answer was stored as finished, in seconds since the epoch; None before.
    """

    __slots__ = (
        "_clock_ns",
        "_phase",
        "_since",
        "_spent",
        "_started",
        "account_id",
        "assistant",
        "attempts",
        "cost_picousd",
        "error_type",
        "finished_at_s",
        "key_id",
        "model",
        "provider",
        "request_id",
        "response_id",
        "route",
        "stream",
        "usage",
    )

    def __init__(
        self, request_id: str, route: str, clock_ns: Callable[[], int], *, account_id: str | None = None
    ) -> None:
        self.request_id = request_id
        self.account_id = account_id or request_id
        self.route = route
        self.response_id: str | None = None
        self.assistant: str | None = None
        self.provider: str | None = None
        self.model: str | None = None
        self.key_id: str | None = None
        self.error_type: str | None = None
        self.finished_at_s: int | None = None
        self.stream = False
        self.usage = NOTHING
        self.cost_picousd = 0
        self.attempts = 0
        self._clock_ns = clock_ns
        self._phase: Phase = "own"
        self._since = self._started = clock_ns()
        self._spent: dict[Phase, int] = {"queue": 0, "own": 0, "ttfb": 0, "upstream": 0, "tool": 0}

    def enter(self, phase: Phase) -> None:
        """From now on time belongs to ``phase``."""
        now = self._clock_ns()
        self._spent[self._phase] += now - self._since
        self._since = now
        self._phase = phase

    def elapsed_us(self) -> int:
        """Microseconds since the request came in."""
        return (self._clock_ns() - self._started) // 1000

    def close(self, status: int | None = None) -> RequestClosed:
        """The account as it stands at the end."""
        self.enter("own")
        spent = self._spent
        queue, ttfb, upstream = spent["queue"] // 1000, spent["ttfb"] // 1000, spent["upstream"] // 1000
        # Rounding each phase down and giving what is left to our own keeps the sum exact.
        total_us = (self._since - self._started) // 1000
        return RequestClosed(
            request_id=self.request_id,
            route=self.route,
            time=TimeSplit(
                queue_us=queue,
                own_us=total_us - queue - ttfb - upstream,
                upstream_ttfb_us=ttfb,
                upstream_us=upstream,
                tool_us=spent["tool"] // 1000,
            ),
            status=status,
            stream=self.stream,
            response_id=self.response_id,
            assistant=self.assistant,
            provider=self.provider,
            model=self.model,
            key_id=self.key_id,
            usage=self.usage,
            cost_picousd=self.cost_picousd,
            attempts=self.attempts,
            error_type=self.error_type,
        )
