"""ProviderSystem: decides which provider serves a call, and remembers how calls went.

It owns the handlers' lifetimes, the breakers, the retry budget and the open attempts. It never touches an
answer's bytes: an `Open` is answered with a `Grant`, the asking task makes the call under that grant
(`callboard.actors.upstream`) and tells `Close` when it is over, however it ended.

The asker names the attempt, so that nothing is lost when it is cancelled at any point: `Close` of an attempt
that was never granted does nothing, and one that was granted to somebody who has gone is settled like any
other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar, TypeAlias, assert_never

import anyio
from anyio import CancelScope, WouldBlock
from anyio.lowlevel import checkpoint_if_cancelled
from msgspec import Struct

from callboard.actors.rate_limiter import Acquire, RateLimiter, Settle
from callboard.domain.estimate import output_tokens
from callboard.domain.model import ModelSpec
from callboard.domain.observation import AttemptFailed, Observation
from callboard.domain.usage import Usage
from callboard.errors import StreamIncomplete, UpstreamError, UpstreamInvalid
from callboard.kernel import ActorRef, Child, Context, Decider, MailboxSpec, Notice, Request
from callboard.limits.ledger import Outcome as AttemptOutcome
from callboard.providers.breaker import Outcome, outcome_of
from callboard.providers.handler import ProviderHandler, RelayHandler
from callboard.providers.retry import FailedAttempt, RetryBudget, RetryPolicy, retry_delay_s
from callboard.providers.routing import Choice, Health, RouteTable

SETTLE_AGAIN_S = 0.05
"""How long a `Close` waits when the limiter is down and its mailbox full."""


class Grant(Struct, frozen=True, kw_only=True):
    """Leave to make one upstream call now.

    Attributes:
        spec: The model that serves it; its ``upstream_name`` is what the handler asks for.
        relay: The same handler where it can pass requests on as they are.
    """

    spec: ModelSpec
    handler: ProviderHandler
    relay: RelayHandler | None = None


class Demand(Struct, frozen=True, kw_only=True, gc=False):
    """What a call will need, as far as it can be told beforehand.

    Attributes:
        model: The name the client asked for.
        key: Whose limits it counts against.
        prompt_tokens: Estimated.
        max_output_tokens: What the client allows; None applies the model's own limit.
    """

    model: str
    key: str
    prompt_tokens: int
    max_output_tokens: int | None = None


class Failed(Struct, frozen=True, kw_only=True):
    """An attempt of this request that came to nothing.

    Attributes:
        attempt: How often this model has been tried for the request, 1 for the first.
    """

    spec: ModelSpec
    error: UpstreamError
    attempt: int


class Open(Request["ProviderSystem", Grant | None], frozen=True, kw_only=True):
    """Ask for the next attempt; None where there is none left and the last error stands.

    Attributes:
        attempt_id: Chosen by the asker, unique.
        request_id: What the request is called in the log.
        failed: The earlier attempts of the same request, oldest first.

    Raises:
        UnknownModel: No route leads to the model.
        RateLimited, BudgetExceeded: A limit is reached and waiting does not help in time.
        UpstreamOverloaded: Every provider of the model rests.
    """

    attempt_id: str
    request_id: str = ""
    demand: Demand
    failed: tuple[Failed, ...] = ()


class Close(Notice["ProviderSystem"], frozen=True, kw_only=True):
    """An attempt is over.

    Attributes:
        error: What ended it, None where it was answered in full.
        usage: What it consumed.
        reported: Whether the provider said so; otherwise ``usage`` is our estimate.
        sent: Whether the request can have reached the provider; if not, the reservation is given back whole.
    """

    attempt_id: str
    error: BaseException | None = None
    usage: Usage = Usage()
    reported: bool = False
    sent: bool = True


class ListModels(Request["ProviderSystem", tuple[ModelSpec, ...]], frozen=True, kw_only=True):
    """The configured models, in the operator's order."""


class ProviderHealth(Struct, frozen=True, kw_only=True):
    """One provider in numbers.

    Attributes:
        breaker: ``closed`` (calls go through) or ``open`` (only probes do).
        requests, failures: Attempts that ended, and those of them that ended badly.
        usage: Of all attempts together.
        busy_us: Time in attempts, in microseconds.
    """

    breaker: str
    requests: int = 0
    failures: int = 0
    usage: Usage = Usage()
    busy_us: int = 0


class GetHealth(Request["ProviderSystem", Mapping[str, ProviderHealth]], frozen=True, kw_only=True):
    """Every provider in numbers, by its configured name."""


class _Tally:
    """The running numbers of one provider."""

    __slots__ = ("busy_s", "failures", "requests", "usage")

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.usage = Usage()
        self.busy_s = 0.0


class _Attempt(Struct, frozen=True):
    request_id: str
    choice: Choice
    since_s: float


class Upstreams(Struct, frozen=True, kw_only=True):
    """What the actor starts from: values and handlers made at wiring, and where chance comes from.

    Attributes:
        handlers: By configured provider name.
        health: Makes the breakers afresh for each incarnation.
        clock: Seconds of the event loop's clock, which deadlines are stated in; None reads it the fast way.
        random: From [0, 1), for jitter.
        observe: Told of failed attempts.
    """

    routes: RouteTable
    handlers: Mapping[str, ProviderHandler]
    health: Callable[[], Health]
    clock: Callable[[], float] | None = None
    random: Callable[[], float]
    observe: Callable[[Observation], None]
    retry: RetryPolicy = RetryPolicy()


_Message: TypeAlias = Open | Close | ListModels | GetHealth


class ProviderSystem(Decider[_Message]):
    """See the module's docstring."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=4096)

    def __init__(self, upstreams: Upstreams, limiter: Child[RateLimiter]) -> None:
        self._upstreams = upstreams
        self._limiter_child = limiter
        self._limiter: ActorRef[RateLimiter]
        self._now_s: Callable[[], float]
        self._health = upstreams.health()
        self._budget = RetryBudget()
        self._open: dict[str, _Attempt] = {}
        self._tallies = {name: _Tally() for name in upstreams.handlers}
        # Made once: asking a protocol's type costs as much as the rest of a grant.
        routes = upstreams.routes
        self._candidates = {spec.name: routes.candidates(spec.name) for spec in routes.models}
        self._grants = {spec.name: self._grant_of(spec) for spec in routes.models}

    @asynccontextmanager
    async def running(self, context: Context[ProviderSystem]) -> AsyncIterator[None]:
        """Holds every provider's client open."""
        self._limiter = context.ref(self._limiter_child)
        self._now_s = self._upstreams.clock or context.now
        async with AsyncExitStack() as stack:
            for handler in self._upstreams.handlers.values():
                await stack.enter_async_context(handler.initialize_client())
            yield

    def decide(self, message: _Message, context: Context[ProviderSystem]) -> None:
        """One decision at a time."""
        match message:
            case Open():
                self._answer_open(message, context)
            case Close():
                self._close(message, context)
            case ListModels():
                context.reply(message, self._upstreams.routes.models)
            case GetHealth():
                context.reply(message, self._numbers())
            case _:
                assert_never(message)

    def _answer_open(self, message: Open, context: Context[ProviderSystem]) -> None:
        model = message.demand.model
        candidates = self._candidates.get(model) or self._upstreams.routes.candidates(model)
        now_s = self._now_s()
        if not message.failed:
            self._budget.called()
            choice = self._health.choose(candidates, now_s=now_s)
            if choice is None:
                raise self._health.resting(candidates, now_s=now_s)
            self._grant(message, choice, now_s, context)
            return
        delay_s = self._retry_delay_s(message, now_s, context)
        if delay_s is not None:
            last = message.failed[-1].spec
            context.reply_from(message, lambda: self._grant_later(message, last, delay_s))
            return
        choice = None
        if not isinstance(message.failed[-1].error, UpstreamInvalid):
            tried = {failed.spec.name for failed in message.failed}
            choice = self._health.choose(candidates, now_s=now_s, tried=tried)
        if choice is None:
            context.reply(message, None)
        else:
            self._grant(message, choice, now_s, context)

    def _retry_delay_s(self, message: Open, now_s: float, context: Context[ProviderSystem]) -> float | None:
        last = message.failed[-1]
        delay_s = retry_delay_s(
            self._upstreams.retry,
            FailedAttempt(error=last.error, attempt=last.attempt),
            jitter=self._upstreams.random(),
            now_s=now_s,
            deadline_s=context.deadline,
        )
        if delay_s is None or not self._budget.withdraw():
            return None
        return delay_s

    def _grant(self, message: Open, choice: Choice, now_s: float, context: Context[ProviderSystem]) -> None:
        """Answer at once where the limits allow it at once, else from a task that waits its turn."""
        try:
            admitted = self._limiter.ask_now(_acquire(message, choice.spec, wait=False))
        except WouldBlock:
            admitted = False
        except BaseException:
            self._drop(choice)
            raise
        if admitted:
            context.reply(message, self._register(message, choice, now_s))
        else:
            context.reply_from(message, lambda: self._grant_waiting(message, choice))

    async def _grant_waiting(self, message: Open, choice: Choice) -> Grant:
        try:
            await self._limiter.ask(_acquire(message, choice.spec, wait=True))
            # An answer outlives a cancellation; but whoever has left has said `Close` already.
            await checkpoint_if_cancelled()
        except BaseException:
            self._drop(choice)
            # The limiter may have reserved just as we were cancelled; this gives it back.
            with CancelScope(shield=True):
                await self._limiter.tell(Settle(attempt_id=message.attempt_id, sent=False))
            raise
        return self._register(message, choice, self._now_s())

    async def _grant_later(self, message: Open, spec: ModelSpec, delay_s: float) -> Grant | None:
        await anyio.sleep(delay_s)
        choice = self._health.choose((spec,), now_s=self._now_s())
        if choice is None:
            return None
        return await self._grant_waiting(message, choice)

    def _register(self, message: Open, choice: Choice, now_s: float) -> Grant:
        self._open[message.attempt_id] = _Attempt(message.request_id, choice, now_s)
        spec = choice.spec
        return self._grants.get(spec.name) or self._grant_of(spec)

    def _grant_of(self, spec: ModelSpec) -> Grant:
        handler = self._upstreams.handlers[spec.provider]
        relay = handler if isinstance(handler, RelayHandler) else None
        return Grant(spec=spec, handler=handler, relay=relay)

    def _drop(self, choice: Choice) -> None:
        self._health.record(choice, Outcome.SILENT, now_s=self._now_s())

    def _close(self, message: Close, context: Context[ProviderSystem]) -> None:
        attempt = self._open.get(message.attempt_id)
        if attempt is None:
            return
        try:
            self._limiter.tell_now(
                Settle(
                    attempt_id=message.attempt_id,
                    usage=message.usage,
                    reported=message.reported,
                    sent=message.sent,
                    outcome="completed" if message.error is None else _outcome(message.error),
                )
            )
        except WouldBlock:
            context.tell_later(message, after=SETTLE_AGAIN_S)
            return
        del self._open[message.attempt_id]
        now_s = self._now_s()
        spec = attempt.choice.spec
        outcome = Outcome.GOOD if message.error is None else outcome_of(message.error)
        self._health.record(attempt.choice, outcome, now_s=now_s)
        tally = self._tallies[spec.provider]
        tally.requests += 1
        tally.usage += message.usage
        tally.busy_s += now_s - attempt.since_s
        if isinstance(message.error, UpstreamError):
            tally.failures += 1
            self._upstreams.observe(_attempt_failed(attempt.request_id, spec, message.error))

    def _numbers(self) -> Mapping[str, ProviderHealth]:
        breakers = self._health.snapshot()
        return {
            name: ProviderHealth(
                breaker=breakers[name],
                requests=tally.requests,
                failures=tally.failures,
                usage=tally.usage,
                busy_us=round(tally.busy_s * 1e6),
            )
            for name, tally in self._tallies.items()
        }


def _acquire(message: Open, spec: ModelSpec, *, wait: bool) -> Acquire:
    demand = message.demand
    output = output_tokens(demand.max_output_tokens, spec.traits.max_output_tokens)
    return Acquire(
        attempt_id=message.attempt_id,
        request_id=message.request_id,
        key=demand.key,
        provider=spec.provider,
        model=spec.name,
        estimate=Usage(input_tokens=demand.prompt_tokens, output_tokens=output),
        price=spec.price,
        wait=wait,
    )


def _outcome(error: BaseException) -> AttemptOutcome:
    if isinstance(error, StreamIncomplete):
        return "truncated"
    return "failed" if isinstance(error, UpstreamError) else "cancelled"


def _attempt_failed(request_id: str, spec: ModelSpec, error: UpstreamError) -> AttemptFailed:
    return AttemptFailed(
        request_id=request_id,
        provider=spec.provider,
        model=spec.name,
        error_type=error.type,
        upstream_status=error.upstream_status,
    )
