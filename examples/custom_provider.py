"""Add a provider of your own: one class, one registration. Runs offline."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import anyio

from callboard.domain.block import TextBlock
from callboard.domain.delta import GenerationEvent
from callboard.domain.fold import events_of, fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import text_of, user_text
from callboard.providers.handler import ProviderCall
from callboard.providers.openai_conversions import OpenAIConversions
from callboard.providers.registry import default_registry
from callboard.providers.settings import ProviderSettings


class ShoutingAnswer:
    """Says it again, louder."""

    def __init__(self, text: str) -> None:
        self.upstream_request_id: str | None = None
        said = Generation(id="1", model="loud", content=(TextBlock(text=text),), stop_reason="end_turn")
        self._events = iter(events_of(said))

    def __aiter__(self) -> "ShoutingAnswer":
        return self

    async def __anext__(self) -> GenerationEvent:
        for event in self._events:
            return event
        raise StopAsyncIteration


class ShoutingHandler(OpenAIConversions):
    """The conversions are OpenAI's; the call is ours."""

    def __init__(self, settings: ProviderSettings) -> None: ...
    def initialize_client(self) -> AbstractAsyncContextManager[None]:
        """Open nothing."""
        return nullcontext()

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[ShoutingAnswer]:
        """Answer at once."""
        yield ShoutingAnswer(text_of(call.request.messages[-1].content).upper())


async def main() -> None:
    registry = default_registry()
    registry.register("shouting", ShoutingHandler)
    handler = registry.build(ProviderSettings(name="mine", kind="shouting"))
    request = GenerationRequest(model="loud", messages=(user_text("hello"),))
    call = ProviderCall(request=request, upstream_name="loud")
    async with handler.initialize_client(), handler.call_api(call) as answer:
        print(text_of(fold([event async for event in answer]).content))


anyio.run(main)
