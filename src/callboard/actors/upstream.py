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
        self._usage = Usage()
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
        as `UpstreamError` may be tried again; anything else passes through.

        Raises:
            UpstreamError: The last attempt's, when no further one is allowed.
            Refusal: What `callboard.actors.provider_system.Open` refuses with.
        """
        failed: tuple[Failed, ...] = ()
        while True:
            grant = await self._open(failed)
            if grant is None:
                raise failed[-1].error
            try:
                answer = await make(grant)
            except UpstreamError as error:
                error.provider = grant.spec.provider
                # Providers do not charge for what they refuse or fail to begin.
                self._usage = Usage()
                await self._close(error)
                earlier = sum(1 for each in failed if each.spec.name == grant.spec.name)
                failed = (*failed, Failed(spec=grant.spec, error=error, attempt=earlier + 1))
                continue
            finally:
                self._meter.enter("own")
            return answer

    def consumed(self, usage: Usage, *, reported: bool) -> None:
        """What the answer has consumed so far; the last word before leaving counts."""
        self._usage = usage
        self._reported = reported

    @property
    def estimated_prompt_tokens(self) -> int:
        """What the prompt is reckoned at until the provider reports."""
        return self._demand.prompt_tokens

    async def _open(self, failed: tuple[Failed, ...]) -> Grant | None:
        self._meter.attempts += 1
        self._attempt_id = f"{self._meter.account_id}.{self._meter.attempts}"
        self._meter.enter("queue")
        try:
            grant = await self._providers.ask(
                Open(
                    attempt_id=self._attempt_id,
                    request_id=self._meter.request_id,
                    demand=self._demand,
                    failed=failed,
                )
            )
        except BaseException:
            self._meter.enter("own")
            raise
        if grant is None:
            self._meter.enter("own")
            self._meter.attempts -= 1
            self._attempt_id = None
            return None
        self._meter.enter("ttfb")
        self._grant = grant
        self._sent = True
        self._usage = Usage()
        self._reported = False
        self._meter.provider = grant.spec.provider
        self._meter.model = grant.spec.name
        return grant

    async def _close(self, error: BaseException | None) -> None:
        attempt_id, self._attempt_id = self._attempt_id, None
        if attempt_id is None:
            return
        if self._grant is not None:
            self._meter.usage += self._usage
            self._meter.cost_picousd += self._grant.spec.price.cost_picousd(self._usage)
        close = Close(
            attempt_id=attempt_id,
            error=error,
            usage=self._usage,
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
