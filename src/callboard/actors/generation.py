"""One generation, from the grant to its last event, folded as it goes.

Events are handed on together as they came together: where an upstream sends many at once, what is done for
each read is done once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from callboard.actors.provider_system import Demand, Grant, ProviderSystem
from callboard.actors.upstream import UpstreamCall
from callboard.domain import estimate
from callboard.domain.delta import GenerationEvent, GenerationStopped
from callboard.domain.fold import Fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.meter import Meter
from callboard.domain.steps import in_turns
from callboard.domain.usage import Usage
from callboard.errors import RemoteWireError
from callboard.kernel import ActorRef
from callboard.providers.handler import ProviderCall, ProviderHandler, UpstreamAnswer


def _nothing() -> Sequence[GenerationEvent]:
    return ()


class LiveGeneration:
    """An upstream answer under a grant: enter it, read `some` events after others, leave it.

    Entering returns when the answer has begun, on whichever attempt that was. Leaving early closes the
    upstream.

    Attributes:
        result: The folded generation, once there are no more events.
    """

    @classmethod
    async def of(
        cls,
        providers: ActorRef[ProviderSystem],
        request: GenerationRequest,
        key: str,
        meter: Meter,
        *,
        stream: bool = True,
    ) -> Self:
        """A generation to enter, once what ``request`` has the model read was estimated.

        With ``stream`` the upstream is asked to stream. Where nobody sees a part of the answer before its
        end, one document is less work for both sides.
        """
        tokens = await in_turns(estimate.counting(request))
        return cls(providers, request, key, meter, tokens, stream=stream)

    def __init__(
        self,
        providers: ActorRef[ProviderSystem],
        request: GenerationRequest,
        key: str,
        meter: Meter,
        prompt_tokens: int,
        *,
        stream: bool,
    ) -> None:
        self._request = request
        self._stream = stream
        self._meter = meter
        self._prompt_tokens = prompt_tokens
        self._call = UpstreamCall(
            providers,
            Demand(
                model=request.model,
                key=key,
                prompt_tokens=self._prompt_tokens,
                max_output_tokens=request.max_output_tokens,
            ),
            meter,
        )
        self._attempt: AbstractAsyncContextManager[UpstreamAnswer] | None = None
        self._fold = Fold()
        self._first: GenerationEvent | None = None
        self._answer: UpstreamAnswer | None = None
        self._ready: Callable[[], Sequence[GenerationEvent]] = _nothing
        self._failure: RemoteWireError | None = None
        self.result: Generation | None = None

    @property
    def handler(self) -> ProviderHandler:
        """The handler that answers."""
        return self._call.grant.handler

    @property
    def provider(self) -> str:
        """The configured name of the provider that answers."""
        return self._call.grant.spec.provider

    @property
    def model(self) -> str:
        """The configured name of the model that answers."""
        return self._call.grant.spec.name

    async def __aenter__(self) -> Self:
        try:
            self._first = await self._call.begin(self._begin)
        except BaseException as error:
            await self._call.__aexit__(type(error), error, error.__traceback__)
            raise
        self._meter.enter("own")
        return self

    async def _begin(self, grant: Grant) -> GenerationEvent:
        call = ProviderCall(
            request=self._request,
            upstream_name=grant.spec.upstream_name,
            traits=grant.spec.traits,
            stream=self._stream,
        )
        # Once it is sent it may be charged, whether or not anybody waits for its answer.
        self._call.consumed(Usage(input_tokens=self._prompt_tokens), reported=False)
        attempt = grant.handler.call_api(call)
        answer = await attempt.__aenter__()
        try:
            first = await anext(answer)
        except BaseException as error:
            await attempt.__aexit__(type(error), error, error.__traceback__)
            raise
        self._answer = answer
        self._ready = getattr(answer, "ready", _nothing)  # see `UpstreamBurst`
        self._attempt = attempt  # left open: `__aexit__` leaves it
        return first

    async def some(self) -> Sequence[GenerationEvent]:
        """The next events: one, and those that have come with it; none after the last.

        Raises:
            UpstreamError: The answer broke off; the events before that were given.
        """
        if self._failure is not None:
            try:
                raise self._failure
            finally:
                self._failure = None  # the error holds this frame, and through it us
        first, self._first = self._first, None
        if first is None:
            if self._answer is None:
                return ()
            self._meter.enter("upstream")
            try:
                first = await anext(self._answer, None)  # after the last event too: the framing has an end
            finally:
                self._meter.enter("own")
            if first is None or self.result is not None:
                return ()
        return self._accounted((first, *self._ready()))

    def _accounted(self, events: Sequence[GenerationEvent]) -> Sequence[GenerationEvent]:
        for place, event in enumerate(events):
            try:
                self._fold.apply(event)
            except RemoteWireError as error:
                if not place:
                    raise
                self._failure = error
                return events[:place]
            if isinstance(event, GenerationStopped):
                self._finish(event.usage)
        return events

    def _finish(self, usage: Usage | None) -> None:
        result = self._fold.result()
        if usage is None:
            result = replace(result, usage=self._estimated())
        self.result = result
        self._call.consumed(usage or self._estimated(), reported=usage is not None)

    def _estimated(self) -> Usage:
        output = estimate.tokens_of_bytes(self._fold.text_length)
        return Usage(input_tokens=self._prompt_tokens, output_tokens=output)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.result is None and self._answer is not None:
            self._call.consumed(self._estimated(), reported=False)
        try:
            if self._attempt is not None:
                await self._attempt.__aexit__(kind, error, trace)
        except BaseException as raised:
            await self._call.__aexit__(type(raised), raised, raised.__traceback__)
            raise
        await self._call.__aexit__(kind, error, trace)
