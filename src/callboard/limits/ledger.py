"""The ledger: reserve, then settle; one line per upstream attempt; the books always balance.

The invariant, in tokens and in money, after every operation::

    reserved = settled + released + open

Using more than was reserved tops the reservation up at the moment of settling, so it holds then too.
Reservations are closed exactly once: by `Ledger.settle`, by `Ledger.release` (nothing was sent, so there is
no line), or by `Ledger.expire` when their holder vanished. The ledger keeps totals and the last few lines;
whoever closes gets the line and stores it.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from msgspec import Struct

from callboard.domain.model import Price
from callboard.domain.usage import Usage

Outcome = Literal["completed", "truncated", "cancelled", "failed", "expired"]
"""How an attempt ended: whole; cut short by the upstream; left by the client; an error; holder vanished."""

Basis = Literal["reported", "estimated"]
"""Whether the provider stated a figure or we worked it out."""

Heading = Literal["key", "provider", "model", "outcome"]
"""What totals can be asked by."""

HEADINGS: tuple[Heading, ...] = ("key", "provider", "model", "outcome")


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """One call to one upstream, as known before it is made.

    Attributes:
        attempt_id: Unique; retries and fallbacks are attempts of their own.
        estimate: Upper estimate of what it will use; this is what is reserved.
        price: What the model costs.
        started_ns: Clock reading in ns, as all times here.
    """

    attempt_id: str
    request_id: str
    response_id: str
    key: str
    provider: str
    model: str
    estimate: Usage
    price: Price
    started_ns: int


class LedgerLine(Struct, frozen=True, kw_only=True, gc=False):
    """What one upstream attempt came to. Flat, so that it is a row in any store.

    Attributes:
        prompt_basis: Basis of ``input_tokens``, ``cache_read_tokens`` and ``cache_write_tokens``.
        output_basis: Basis of ``output_tokens`` and ``reasoning_tokens``.
        cost_basis: ``reported`` only where all tokens are.
    """

    attempt_id: str
    request_id: str
    response_id: str
    key: str
    provider: str
    model: str
    started_ns: int
    ended_ns: int
    outcome: Outcome
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    prompt_basis: Basis
    output_tokens: int
    reasoning_tokens: int
    output_basis: Basis
    cost_picousd: int
    cost_basis: Basis


class Totals(Struct, frozen=True, kw_only=True):
    """Sums over ledger lines."""

    attempts: int = 0
    usage: Usage = Usage()
    cost_picousd: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            attempts=self.attempts + other.attempts,
            usage=self.usage + other.usage,
            cost_picousd=self.cost_picousd + other.cost_picousd,
        )


class Books(Struct, frozen=True, kw_only=True):
    """One unit's books: ``reserved == settled + released + open``."""

    reserved: int = 0
    settled: int = 0
    released: int = 0
    open: int = 0


class _Sum:
    """Totals while they are being summed."""

    __slots__ = ("attempts", "cost_picousd", "usage")

    def __init__(self) -> None:
        self.attempts = 0
        self.usage = Usage()
        self.cost_picousd = 0

    def totals(self) -> Totals:
        return Totals(attempts=self.attempts, usage=self.usage, cost_picousd=self.cost_picousd)


class _Account:
    """The books while they are being kept."""

    __slots__ = ("open", "released", "reserved", "settled")

    def __init__(self) -> None:
        self.reserved = self.settled = self.released = self.open = 0

    def close(self, amount: int, used: int) -> None:
        self.open -= amount
        self.settled += used
        if used <= amount:
            self.released += amount - used
        else:
            self.reserved += used - amount

    def books(self) -> Books:
        return Books(reserved=self.reserved, settled=self.settled, released=self.released, open=self.open)


class Ledger:
    """Reservations that are open, totals of those that were closed.

    Args:
        keep: How many lines `recent` shows.
        ttl_ns: Age at which `expire` closes a reservation.
    """

    def __init__(self, *, keep: int = 256, ttl_ns: int = 6 * 3_600_000_000_000) -> None:
        self._ttl_ns = ttl_ns
        # Oldest first; with the tokens and the money that were reserved.
        self._open: dict[str, tuple[Attempt, int, int]] = {}
        self._recent: deque[LedgerLine] = deque(maxlen=keep)
        self._sums: dict[tuple[str, ...], _Sum] = {}  # by a name for each of HEADINGS
        self._tokens = _Account()
        self._cost = _Account()

    def reserve(self, attempt: Attempt) -> None:
        """Open a reservation of the attempt's estimate.

        Raises:
            ValueError: An attempt of this id is open already.
        """
        if attempt.attempt_id in self._open:
            raise ValueError(f"attempt {attempt.attempt_id} is open already")
        tokens = attempt.estimate.total_tokens
        cost_picousd = attempt.price.cost_picousd(attempt.estimate)
        self._open[attempt.attempt_id] = (attempt, tokens, cost_picousd)
        books = self._tokens
        books.reserved += tokens
        books.open += tokens
        books = self._cost
        books.reserved += cost_picousd
        books.open += cost_picousd

    def settle(
        self,
        attempt_id: str,
        *,
        outcome: Outcome,
        usage: Usage,
        prompt_basis: Basis,
        output_basis: Basis,
        ended_ns: int,
    ) -> LedgerLine:
        """Close a reservation with what was used; the caller stores the line.

        Raises:
            ValueError: No such attempt is open: closed before, expired, or never reserved.
        """
        attempt, cost_picousd = self._close(attempt_id, usage)
        line = LedgerLine(
            attempt_id=attempt_id,
            request_id=attempt.request_id,
            response_id=attempt.response_id,
            key=attempt.key,
            provider=attempt.provider,
            model=attempt.model,
            started_ns=attempt.started_ns,
            ended_ns=ended_ns,
            outcome=outcome,
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            prompt_basis=prompt_basis,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            output_basis=output_basis,
            cost_picousd=cost_picousd,
            cost_basis="reported" if prompt_basis == output_basis == "reported" else "estimated",
        )
        self._recent.append(line)
        names = (attempt.key, attempt.provider, attempt.model, outcome)
        sums = self._sums.get(names)
        if sums is None:
            sums = self._sums[names] = _Sum()
        sums.attempts += 1
        sums.usage += usage
        sums.cost_picousd += cost_picousd
        return line

    def release(self, attempt_id: str) -> None:
        """Close a reservation of which nothing was sent: no line, nothing to pay.

        Raises:
            ValueError: As in `settle`.
        """
        self._close(attempt_id, Usage())

    def expire(self, now_ns: int) -> tuple[LedgerLine, ...]:
        """Close what is older than the ttl, as if all that was reserved had been used."""
        lines = []
        while self._open:
            attempt, _, _ = next(iter(self._open.values()))
            if attempt.started_ns + self._ttl_ns > now_ns:
                break
            line = self.settle(
                attempt.attempt_id,
                outcome="expired",
                usage=attempt.estimate,
                prompt_basis="estimated",
                output_basis="estimated",
                ended_ns=now_ns,
            )
            lines.append(line)
        return tuple(lines)

    @property
    def recent(self) -> tuple[LedgerLine, ...]:
        """The last lines, oldest first."""
        return tuple(self._recent)

    @property
    def token_books(self) -> Books:
        """The books in tokens."""
        return self._tokens.books()

    @property
    def cost_books(self) -> Books:
        """The books in pico-USD."""
        return self._cost.books()

    def totals(self, *, by: Heading) -> dict[str, Totals]:
        """Sums of all lines since the start, by key, provider, model or outcome."""
        sums: dict[str, Totals] = {}
        place = HEADINGS.index(by)
        for names, each in self._sums.items():
            sums[names[place]] = sums.get(names[place], Totals()) + each.totals()
        return sums

    def _close(self, attempt_id: str, usage: Usage) -> tuple[Attempt, int]:
        """Book ``usage`` against the reservation; returns the attempt and what the usage costs."""
        reserved = self._open.pop(attempt_id, None)
        if reserved is None:
            raise ValueError(f"attempt {attempt_id} is not open")
        attempt, tokens, estimated_picousd = reserved
        cost_picousd = attempt.price.cost_picousd(usage)
        self._tokens.close(tokens, usage.total_tokens)
        self._cost.close(estimated_picousd, cost_picousd)
        return attempt, cost_picousd
