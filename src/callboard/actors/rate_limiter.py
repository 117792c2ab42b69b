"""RateLimiter: owns the limits and the ledger; reserves before an upstream attempt, settles after it.

The decisions are `callboard.limits`' own and pure; this actor gives them a clock, and does the waiting for
those whom the limits let wait. An attempt is named by whoever makes it, and `Settle` of an attempt that
holds nothing does nothing: so an asker that is cancelled at any point says `Settle` and is quits.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, TypeAlias, assert_never

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from msgspec import Struct, field
from msgspec.structs import replace

from callboard.domain.model import Price
from callboard.domain.usage import Usage
from callboard.errors import PermissionDenied
from callboard.kernel import Context, Decider, MailboxSpec, Notice, Request
from callboard.limits.ledger import Attempt, Basis, Books, Ledger, LedgerLine, Outcome, Totals
from callboard.limits.limits import Admitted, Ask, Decision, Limits, Queued, Refused

EXPIRY_SWEEP_S = 60.0


class Acquire(Request["RateLimiter", bool], frozen=True, kw_only=True):
    """Reserve what an attempt will need. Answers True when it is reserved.

    Attributes:
        estimate: Upper estimate of what it will use.
        wait: Whether to wait in line; otherwise the answer is False where waiting would help.

    Raises:
        RateLimited, BudgetExceeded: A limit is reached, and waiting would not help in time.
        Overloaded: Too many wait already.
        PermissionDenied: The key was revoked, or has expired, since its work began.
    """

    attempt_id: str
    request_id: str = ""
    key: str
    provider: str
    model: str
    estimate: Usage
    price: Price
    wait: bool = True


class Settle(Notice["RateLimiter"], frozen=True, kw_only=True):
    """An attempt is over, or was given up. Settling one that holds nothing does nothing.

    Attributes:
        usage: What it used; ignored where nothing was sent.
        reported: Whether the provider stated the usage.
        sent: Whether the provider can have seen the request.
    """

    attempt_id: str
    usage: Usage = Usage()
    reported: bool = False
    sent: bool = True
    outcome: Outcome = "completed"


class Accounts(Struct, frozen=True, kw_only=True):
    """The books, and what they are made of."""

    tokens: Books
    cost_picousd: Books
    by_key: Mapping[str, Totals]
    by_model: Mapping[str, Totals]
    recent: tuple[LedgerLine, ...]


class GetAccounts(Request["RateLimiter", Accounts], frozen=True, kw_only=True):
    """The ledger as it stands."""


class Wake(Notice["RateLimiter"], frozen=True, kw_only=True):
    """To itself: a limit that somebody waits for gives way about now."""


class Sweep(Notice["RateLimiter"], frozen=True, kw_only=True):
    """To itself: look for reservations whose holder has vanished."""


_Message: TypeAlias = Acquire | Settle | GetAccounts | Wake | Sweep


class _Waiter:
    """One asker in line."""

    __slots__ = ("decided", "decision")

    def __init__(self) -> None:
        self.decided = anyio.Event()
        self.decision: Decision | None = None


def _anybody(_key: str) -> bool:
    return True


class Till(Struct, frozen=True, kw_only=True):
    """What the actor starts from.

    Attributes:
        limits, ledger: Made at wiring, so that a restart forgets neither reservations nor accounts.
        reservations: The limits' reservation of each open attempt.
        clock_ns: Nanoseconds since the Unix epoch; may step.
        on_line: Told of every ledger line.
        may_spend: Whether a key still may.
        longest_wait_s: How long an ask may wait in line, whatever time its asker has.
    """

    limits: Limits
    ledger: Ledger
    reservations: dict[str, int] = field(default_factory=dict)
    clock_ns: Callable[[], int]
    on_line: Callable[[LedgerLine], None]
    may_spend: Callable[[str], bool] = _anybody
    longest_wait_s: float = math.inf


class RateLimiter(Decider[_Message]):
    """See the module's docstring."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=4096)

    def __init__(self, till: Till) -> None:
        self._limits = till.limits
        self._ledger = till.ledger
        self._clock_ns = till.clock_ns
        self._on_line = till.on_line
        self._reservations = till.reservations
        self._may_spend = till.may_spend
        self._longest_wait_s = till.longest_wait_s
        self._waiters: dict[int, _Waiter] = {}
        self._woken_at_ns: int | None = None

    @asynccontextmanager
    async def running(self, context: Context[RateLimiter]) -> AsyncIterator[None]:
        """Starts the sweep."""
        context.tell_later(Sweep(), after=EXPIRY_SWEEP_S)
        yield

    def decide(self, message: _Message, context: Context[RateLimiter]) -> None:
        """One decision at a time."""
        match message:
            case Acquire():
                self._acquire(message, context)
            case Settle():
                self._settle(message)
                if self._waiters:
                    self._pump(context)
            case GetAccounts():
                context.reply(message, self._accounts())
            case Wake():
                self._woken_at_ns = None
                self._pump(context)
            case Sweep():
                for line in self._ledger.expire(self._clock_ns()):
                    self._reservations.pop(line.attempt_id, None)
                    self._on_line(line)
                context.tell_later(Sweep(), after=EXPIRY_SWEEP_S)
            case _:
                assert_never(message)

    def _acquire(self, message: Acquire, context: Context[RateLimiter]) -> None:
        if not self._may_spend(message.key):
            raise PermissionDenied("The key is no longer valid.")
        now_ns = self._clock_ns()
        ask = Ask(
            scopes=(("key", message.key), ("model", message.model), ("provider", message.provider)),
            tokens=message.estimate.total_tokens,
            cost_picousd=message.price.cost_picousd(message.estimate),
        )
        decision = self._limits.offer(ask, now_ns)
        if isinstance(decision, Queued):
            decision = self._mind_deadline(ask, decision, context, now_ns)
        match decision:
            case Admitted():
                self._reserve(message, decision, now_ns)
                context.reply(message, True)
            case Refused():
                raise decision.error
            case Queued() if not message.wait:
                self._limits.cancel(decision.ticket)
                context.reply(message, False)
            case Queued():
                waiter = self._waiters[decision.ticket] = _Waiter()
                context.reply_from(message, lambda: self._wait(message, decision.ticket, waiter, context))
                self._wake_at(decision.wake_at_ns, context)

    def _mind_deadline(
        self, ask: Ask, queued: Queued, context: Context[RateLimiter], now_ns: int
    ) -> Admitted | Queued | Refused:
        """Offer ``ask`` again under its deadline, if there is one: only who has to wait needs it."""
        left_s = min(context.deadline - context.now(), self._longest_wait_s)
        if math.isinf(left_s):
            return queued
        self._limits.cancel(queued.ticket)
        return self._limits.offer(replace(ask, deadline_ns=now_ns + int(left_s * 1e9)), now_ns)

    async def _wait(
        self, message: Acquire, ticket: int, waiter: _Waiter, context: Context[RateLimiter]
    ) -> bool:
        try:
            await waiter.decided.wait()
            # Woken in the instant in which the asker left, it would reserve for somebody who has settled.
            await checkpoint_if_cancelled()
        except BaseException:
            # Cancelled in line, or just as it was admitted: either way it holds nothing afterwards.
            if not self._limits.cancel(ticket) and isinstance(waiter.decision, Admitted):
                self._limits.release(waiter.decision.reservation_id, now=self._clock_ns())
            self._waiters.pop(ticket, None)
            # Whoever stood behind may be next now.
            context.tell_later(Wake(), after=0)
            raise
        match waiter.decision:
            case Admitted():
                self._reserve(message, waiter.decision, self._clock_ns())
            case Refused():
                raise waiter.decision.error
            case None:
                raise RuntimeError("a waiter was woken without a decision")
        return True

    def _pump(self, context: Context[RateLimiter]) -> None:
        now_ns = self._clock_ns()
        for ticket, decision in self._limits.pump(now_ns):
            waiter = self._waiters.pop(ticket)
            waiter.decision = decision
            waiter.decided.set()
        self._wake_at(self._limits.next_wake(now_ns), context)

    def _wake_at(self, at_ns: int | None, context: Context[RateLimiter]) -> None:
        """See to it that `_pump` runs at ``at_ns``; an earlier wake that is set already does as well."""
        if at_ns is None or (self._woken_at_ns is not None and self._woken_at_ns <= at_ns):
            return
        self._woken_at_ns = at_ns
        context.tell_later(Wake(), after=max(at_ns - self._clock_ns(), 0) / 1e9)

    def _reserve(self, message: Acquire, admitted: Admitted, now_ns: int) -> None:
        self._reservations[message.attempt_id] = admitted.reservation_id
        self._ledger.reserve(
            Attempt(
                attempt_id=message.attempt_id,
                request_id=message.request_id,
                response_id="",
                key=message.key,
                provider=message.provider,
                model=message.model,
                estimate=message.estimate,
                price=message.price,
                started_ns=now_ns,
            )
        )

    def _settle(self, message: Settle) -> None:
        reservation_id = self._reservations.pop(message.attempt_id, None)
        if reservation_id is None:
            return
        now_ns = self._clock_ns()
        if not message.sent:
            self._ledger.release(message.attempt_id)
            self._limits.release(reservation_id, now=now_ns)
            return
        basis: Basis = "reported" if message.reported else "estimated"
        line = self._ledger.settle(
            message.attempt_id,
            outcome=message.outcome,
            usage=message.usage,
            prompt_basis=basis,
            output_basis=basis,
            ended_ns=now_ns,
        )
        self._limits.settle(
            reservation_id, tokens=message.usage.total_tokens, cost_picousd=line.cost_picousd, now=now_ns
        )
        self._on_line(line)

    def _accounts(self) -> Accounts:
        return Accounts(
            tokens=self._ledger.token_books,
            cost_picousd=self._ledger.cost_books,
            by_key=self._ledger.totals(by="key"),
            by_model=self._ledger.totals(by="model"),
            recent=self._ledger.recent,
        )
