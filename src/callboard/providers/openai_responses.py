"""OpenAI, and everything that speaks its Responses dialect: ``kind = "openai"`` with ``api = "responses"``.

How it is reached, its errors, its headers and its limits are those of `callboard.providers.openai`; what is
said to it and what it answers are another dialect. Nothing is stored there, so every call brings the whole
conversation, and a model's reasoning comes and goes back encrypted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import ClassVar

from callboard.domain.delta import GenerationEvent
from callboard.domain.steps import in_turns
from callboard.providers.handler import ProviderCall
from callboard.providers.openai import OpenAIAnswer, OpenAIHandler, Source
from callboard.providers.openai_responses_conversions import OpenAIResponsesConversions
from callboard.wire.openai_responses.upstream_request import encoding
from callboard.wire.openai_responses.upstream_stream import MAX_EVENT_BYTES, EventDecoder
from callboard.wire.sse import SseDecoder


class OpenAIResponsesHandler(OpenAIResponsesConversions, OpenAIHandler):
    """The eight methods for responses, and the relay."""

    dialect: ClassVar[str] = "openai_responses"
    path: ClassVar[str] = "/responses"

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[OpenAIResponsesAnswer]:
        """Make the call; the events are the same whether or not the upstream streams."""
        body = await in_turns(
            encoding(call.request, upstream_name=call.upstream_name, traits=call.traits, stream=call.stream)
        )
        async with await self.relay(body, stream=call.stream) as response:
            yield OpenAIResponsesAnswer(response, provider=self._settings.name, stream=call.stream)


class OpenAIResponsesAnswer(OpenAIAnswer):
    """An answer as it arrives. Owned by the call, which closes its response."""

    def _source_of(self, *, streamed: bool) -> Source:
        return _Events() if streamed else _Whole()


class _Events:
    """Server-sent events of the dialect."""

    def __init__(self) -> None:
        self._sse = SseDecoder(MAX_EVENT_BYTES)
        self._events = EventDecoder()

    def feed(self, piece: bytes, events: deque[GenerationEvent]) -> None:
        for event in self._sse.feed(piece):
            events.extend(self._events.feed(event.data))

    def end(self) -> Iterator[GenerationEvent]:
        yield from self._events.end()


class _Whole:
    """One Response object."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, piece: bytes, events: deque[GenerationEvent]) -> None:
        self._body += piece

    def end(self) -> Iterator[GenerationEvent]:
        yield from EventDecoder().whole(bytes(self._body))
