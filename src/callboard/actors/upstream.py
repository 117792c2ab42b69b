"""One upstream call with its retries and fallbacks: the asking task's side of the grant pattern.

`ProviderSystem` decides and remembers; the task that wants the answer makes the call itself, here, so that
bytes never pass through an actor. However the call ends, the attempt is closed and settled exactly once:
within the step that leaves the call, or under a shield, because the task may be being cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from anyio import CancelScope, WouldBlock

from callboard.actors.provider_system import Close, Demand, Failed, Grant, Open, ProviderSystem
from callboard.domain.meter import Meter
from callboard.domain.usage import Usage
from callboard.errors import UpstreamError
from callboard.kernel import ActorRef

T = TypeVar("T")
NOTHING = Usage()


class UpstreamCall:
    """One call; use it as a context manager around the whole answer.

    ::

        async with UpstreamCall(providers, demand, meter) as call:
            answer = await call.begin(make_the_call)
            ...                                     # read it; then, before leaving:
            call.consumed(usage, reported=True)

    Leaving closes the open attempt with the error that passes through, if any.
    """

    def __init__(self, providers: ActorRef[ProviderSystem], demand: Demand, meter: Meter) -> None:
        self._providers = providers
        self._demand = demand
        self._meter = meter
        self._grant: Grant | None = None
        self._attempt_id: str | None = None
        self._usage = NOTHING
        self._reported = False
        self._sent = False

    @property
    def grant(self) -> Grant:
        """The attempt that is answering; there is one after `begin`."""
        if self._grant is None:
            raise RuntimeError("no attempt has begun to answer yet")
        return self._grant

    async def begin(self, make: Callable[[Grant], Awaitable[T]]) -> T:
        """Call ``make`` under one grant after another until one answers.

        ``make`` returns when the answer has begun; nothing of it may have been shown before. What it raises
        as `UpstreamError` may be tried again; anything else passes through. The time that follows is the
        upstream's, until the caller's meter says otherwise.

        Raises:
            UpstreamError: The last attempt's, when no further one is allowed.
            Refusal: What `callboard.actors.provider_system.Open` refuses with.
        """
        meter = self._meter
        failed: tuple[Failed, ...] = ()
        try:
            while True:
                meter.attempts += 1
                self._attempt_id = attempt_id = f"{meter.account_id}.{meter.attempts}"
                meter.enter("queue")
                grant = await self._providers.ask(
                    Open(
                        attempt_id=attempt_id,
                        request_id=meter.request_id,
                        demand=self._demand,
                        failed=failed,
                    )
                )
                if grant is None:
                    meter.attempts -= 1
                    self._attempt_id = None
                    raise failed[-1].error  # noqa: TRY301 - the clean-up below is for this, too
                meter.enter("ttfb")
                meter.provider = grant.spec.provider
                meter.model = grant.spec.name
                self._grant = grant
                self._sent = True
                try:
                    answer = await make(grant)
                except UpstreamError as error:
                    failed = (*failed, await self._fail(grant, error, failed))
                else:
                    meter.enter("upstream")
                    return answer
        except BaseException:
            meter.enter("own")
            raise
        finally:
            failed = ()  # the error that is raised holds this frame

    def consumed(self, usage: Usage, *, reported: bool) -> None:
        """What the answer has consumed so far; the last word before leaving counts."""
        self._usage = usage
        self._reported = reported

    def estimated(self, output_tokens: int) -> Usage:
        """What an answer of so many tokens has consumed, as far as we can tell without the provider."""
        return Usage(input_tokens=self._demand.prompt_tokens, output_tokens=output_tokens)

    async def _fail(self, grant: Grant, error: UpstreamError, earlier: tuple[Failed, ...]) -> Failed:
        """It came to nothing."""
        spec = grant.spec
        error.provider = spec.provider
        # Providers do not charge for what they refuse or fail to begin.
        self._usage = NOTHING
        await self._close(error)
        self._reported = False
        before = sum(1 for each in earlier if each.spec.name == spec.name)
        return Failed(spec=spec, error=error, attempt=before + 1)

    async def _close(self, error: BaseException | None) -> None:
        attempt_id, self._attempt_id = self._attempt_id, None
        if attempt_id is None:
            return
        usage = self._usage
        if self._grant is not None:
            meter = self._meter
            meter.usage = usage if meter.attempts == 1 else meter.usage + usage
            meter.cost_picousd += self._grant.spec.price.cost_picousd(usage)
        close = Close(
            attempt_id=attempt_id,
            error=error,
            usage=usage,
            reported=self._reported,
            sent=self._sent,
        )
        try:
            self._providers.tell_now(close)
        except WouldBlock:
            with CancelScope(shield=True):
                await self._providers.tell(close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(error)
