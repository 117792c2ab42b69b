"""What a limiter is asked and what it answers: values and one small protocol, all storable.

A limiter never waits, locks or reads a clock. It decides, and says when to ask again; the actor that owns it
does the waiting. Every ``now`` is a clock reading in integer nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from callboard.errors import Overloaded, RateLimited

Scope = tuple[str, str]
"""What a limit belongs to: its kind and its name, e.g. ``("key", "k1")`` or ``("model", "gpt-4o")``."""

Amounts = tuple[int, int, int]
"""Requests, tokens and pico-USD."""


class LimitSpec(Struct, frozen=True, kw_only=True):
    """The limits of one scope; None means unlimited, 0 means never.

    Attributes:
        requests_per_minute: Rate and burst of a continuously refilled bucket.
        tokens_per_minute: The same for tokens, prompt and answer together.
        cost_per_day_picousd: Budget for one UTC day, in pico-USD.
        parallel: Requests in flight at the same time.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    cost_per_day_picousd: int | None = None
    parallel: int | None = None


class Ask(Struct, frozen=True, kw_only=True, gc=False):
    """What one upstream attempt wants to reserve, in all of its scopes or in none.

    Attributes:
        scopes: The one who pays first, then from the narrower to the wider shared one: key, model, provider.
            Order matters: asks wait fairly among payers, and hold a place in a shared line only while all
            scopes before it have room for them.
        tokens: Upper estimate of prompt and answer together.
        cost_picousd: Upper estimate of the price.
        deadline_ns: How long waiting makes sense; ``now`` or earlier to not wait at all, None for ever.
    """

    scopes: tuple[Scope, ...]
    requests: int = 1
    tokens: int = 0
    cost_picousd: int = 0
    deadline_ns: int | None = None

    @property
    def amounts(self) -> Amounts:
        """What is asked for, limit by limit."""
        return (self.requests, self.tokens, self.cost_picousd)


class Admitted(Struct, frozen=True, kw_only=True, gc=False):
    """Go. The reservation must be closed by exactly one `Limits.settle` or `Limits.release`."""

    reservation_id: int


class Queued(Struct, frozen=True, kw_only=True):
    """Wait: a later `Limits.pump` decides.

    Attributes:
        ticket: Names the waiter in `Limits.pump` and `Limits.cancel`.
        wake_at_ns: When to pump next, as `Limits.next_wake` says it.
    """

    ticket: int
    wake_at_ns: int | None


class Refused(Struct, frozen=True, kw_only=True):
    """No, and waiting does not help.

    Attributes:
        error: `RateLimited` or its `BudgetExceeded` with the time to the first instant at which the same ask
            would be admitted if nobody else came (None: never; a guess of 1 s where only a free place is
            missing, since nobody knows when one gets free); `Overloaded` where all places to wait are taken.
    """

    error: RateLimited | Overloaded


Decision = Admitted | Refused


class Limits(Protocol):
    """Admission by request rate, token rate, daily cost and parallel requests, in several scopes at once."""

    def offer(self, ask: Ask, now: int) -> Admitted | Queued | Refused:
        """Admit at once, in turn later, or never. Takes from all scopes or from none."""

    def pump(self, now: int) -> tuple[tuple[int, Decision], ...]:
        """Decide for everyone who waits and can be decided now; pairs of ticket and decision, in order.

        Call it when `next_wake` is reached and after each `settle`, `release` and `cancel`.
        """

    def next_wake(self, now: int) -> int | None:
        """The next instant at which `pump` has something to decide; None while nothing depends on time."""

    def cancel(self, ticket: int) -> bool:
        """Stop waiting. False where the ticket was decided before; an admission must then be released."""

    def settle(self, reservation_id: int, *, tokens: int, cost_picousd: int, now: int) -> None:
        """Close a reservation with what was really used; a lower figure gives back, a higher one makes debt.

        Raises:
            ValueError: The reservation is not open: closed before, expired, or never made.
        """

    def release(self, reservation_id: int, *, now: int) -> None:
        """Close a reservation of which nothing was sent; everything is given back.

        Raises:
            ValueError: As in `settle`.
        """
