"""A real model in this process: SmolLM2-135M through llama.cpp. No key, no network, no download.

It speaks the OpenAI chat dialect, so its chunks are decoded by `callboard.wire.openai_chat`. It reads text
only: other blocks are left out. Tools are called through constrained decoding, whatever the model's traits
say of native calls; see `callboard.providers.constrained`.

An answer makes at most one tool call. With ``tool_choice`` left to the model, a message that brings tool
results is answered and never calls again: so small a model would go on calling for ever.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

import msgspec
from anyio import EndOfStream
from anyio.abc import ObjectReceiveStream
from msgspec import Struct

from callboard.domain.delta import GenerationEvent, GenerationStarted, GenerationStopped
from callboard.domain.fold import Fold
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolDefinition
from callboard.domain.usage import Usage
from callboard.errors import ContextTooLong, InvalidRequest, UpstreamError
from callboard.providers import constrained
from callboard.providers.constrained import CallTranslator
from callboard.providers.handler import ProviderCall
from callboard.providers.local_model import MODEL, LocalModel, locate
from callboard.providers.openai_conversions import OpenAIConversions
from callboard.providers.settings import ProviderSettings, options_as
from callboard.wire.openai_chat.request import encode_request
from callboard.wire.openai_chat.stream import ChunkDecoder

_PASSED_ON = frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"})
_BODY = msgspec.json.Decoder(dict[str, object])
_TOO_LONG = re.compile(rb'"exceed_context_size_error","n_prompt_tokens":(\d+),"n_ctx":(\d+)')


class LocalOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a provider of kind ``local``; see `callboard.providers.local_model.LocalModel`."""

    slots: int = 4
    threads: int | None = None
    context: int | None = None


class LocalHandler(OpenAIConversions):
    """The eight methods for the model in this process.

    Attributes:
        model: The model; loaded at the first call.
    """

    dialect: ClassVar[str] = "openai_chat"

    def __init__(self, settings: ProviderSettings) -> None:
        """Find the model's file; nothing is loaded yet.

        Raises:
            ConfigurationError: The extra ``local`` is not installed, or an option is unknown.
        """
        options = options_as(LocalOptions, settings)
        self._name = settings.name
        self.model = LocalModel(
            locate(), slots=options.slots, threads=options.threads, context=options.context
        )

    def initialize_client(self) -> AbstractAsyncContextManager[None]:
        """Open the model's slots; leaving ends its generations and frees its memory."""
        return self.model.opened()

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[LocalAnswer]:
        """Make the call. Leaving it stops the generation at its next token.

        Raises:
            ContextTooLong: The conversation does not fit the window of a slot.
            UpstreamError: The model could not be loaded, or refuses the request, for instance a JSON Schema
                that it cannot be held to.
        """
        request = call.request
        spent = Usage()
        tool: ToolDefinition | None = None
        text = constrained.question(request.messages)
        if request.tools and (text is not None or _must_call(request)):
            tool, spent = await self._choose(request, text or "")
        if tool is None:
            step = constrained.plain(request)
        else:
            step = constrained.ask_arguments(tool, text or "", request)
        async with self._generate(step) as events:
            answer = LocalAnswer(events, tool, spent)
            await answer.begin(call.upstream_name)
            yield answer

    async def _choose(self, request: GenerationRequest, text: str) -> tuple[ToolDefinition | None, Usage]:
        """The tool to call, if any, and what finding out consumed."""
        choice = request.tool_choice
        tools = request.tools
        if choice is not None and choice.mode == "none":
            return None, Usage()
        if choice is not None and choice.mode == "tool":
            named = next((tool for tool in tools if tool.name == choice.name), None)
            if named is None:
                raise InvalidRequest(f"tool_choice names no tool: {choice.name!r}", param="tool_choice")
            return named, Usage()
        candidates = constrained.named_in(text, tools)
        spent = Usage()
        if not candidates and _must_call(request):
            candidates = tools
        elif not candidates:
            for tool in tools[: constrained.MAX_ASKED_ABOUT]:
                said, used = await self._say(constrained.ask_about(tool, text, request))
                spent += used
                candidates += (tool,) if constrained.chosen(said, (tool,)) else ()
        if len(candidates) < 2:
            return (candidates[0] if candidates else None), spent
        said, used = await self._say(constrained.ask_which(candidates, text, request))
        return constrained.chosen(said, candidates) or candidates[0], spent + used

    async def _say(self, request: GenerationRequest) -> tuple[str, Usage]:
        """The whole text of a short generation."""
        folding = Fold()
        async with self._generate(request) as events:
            async for event in events:
                folding.apply(event)
        generation = folding.result()
        return text_of(generation.content), generation.usage or Usage()

    @asynccontextmanager
    async def _generate(self, request: GenerationRequest) -> AsyncIterator[_Events]:
        kept = {name: value for name, value in (request.extra or {}).items() if name in _PASSED_ON}
        known = msgspec.structs.replace(request, extra=kept or None, reasoning_effort=None, user=None)
        body = _BODY.decode(encode_request(known, upstream_name=MODEL, traits=ModelTraits(), stream=True))
        async with self.model.generate({**constrained.sampling(request), **body}) as chunks:
            yield _Events(chunks, self._name)


class _Events:
    """The events of one generation, read once."""

    def __init__(self, chunks: ObjectReceiveStream[bytes], provider: str) -> None:
        self._chunks = chunks
        self._provider = provider
        self._decoder = ChunkDecoder()
        self._ready: deque[GenerationEvent] = deque()
        self._over = False

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> GenerationEvent:
        try:
            while not self._ready and not self._over:
                await self._read()
        except UpstreamError as error:
            if (size := _TOO_LONG.search(error.body or b"")) is not None:
                raise ContextTooLong(
                    f"The prompt has {size[1].decode()} tokens; the model's window is {size[2].decode()}.",
                    code="context_length_exceeded",
                ) from error
            error.provider = self._provider
            raise
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def _read(self) -> None:
        try:
            chunk = await self._chunks.receive()
        except EndOfStream:
            self._over = True
            self._ready.extend(self._decoder.end())
        else:
            self._ready.extend(self._decoder.feed(chunk))


class LocalAnswer:
    """An answer as it is written; its events are a tool call's where a tool was chosen.

    Attributes:
        upstream_request_id: llama.cpp's id of the generation.
    """

    def __init__(self, events: _Events, tool: ToolDefinition | None, spent: Usage) -> None:
        self.upstream_request_id: str | None = None
        self._events = events
        self._tool = tool
        self._spent = spent
        self._translator: CallTranslator | None = None
        self._first: GenerationEvent | None = None

    async def begin(self, model: str) -> None:
        """Wait for the first event, and give the model the name that it was called by."""
        self._first = first = await anext(self._events)
        if isinstance(first, GenerationStarted):
            self.upstream_request_id = first.id
            self._first = msgspec.structs.replace(first, model=model)
            if self._tool is not None:
                call_id = "call_" + first.id.removeprefix("chatcmpl-")
                self._translator = CallTranslator(self._tool, call_id)

    def __aiter__(self) -> LocalAnswer:
        return self

    async def __anext__(self) -> GenerationEvent:
        event, self._first = self._first, None
        if event is None:
            event = await anext(self._events)
        if self._translator is not None:
            event = self._translator.translate(event)
        if isinstance(event, GenerationStopped) and event.usage is not None:
            event = msgspec.structs.replace(event, usage=event.usage + self._spent)
        return event


def _must_call(request: GenerationRequest) -> bool:
    return request.tool_choice is not None and request.tool_choice.mode in ("required", "tool")
