"""The model that runs in this process: SmolLM2 on llama.cpp, no key, no download, nothing to start.

llama.cpp speaks the OpenAI chat dialect, as mappings instead of bytes; what is special is the thread it runs
in, and the tools, which the model does not know of (`callboard.providers.constrained`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec
from anyio import from_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec.structs import replace

from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
)
from callboard.domain.fold import Fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import text_of
from callboard.domain.model import ModelTraits
from callboard.domain.usage import Usage
from callboard.errors import ContextTooLong, UpstreamServerError
from callboard.providers import constrained
from callboard.providers.handler import ProviderCall
from callboard.providers.local_model import LocalModel, LocalOptions
from callboard.providers.openai_conversions import OpenAIConversions
from callboard.providers.settings import ProviderSettings, options_as
from callboard.wire.openai_chat.request import encode_request
from callboard.wire.openai_chat.stream import ChunkDecoder

DEFAULT_OUTPUT_TOKENS = 512
"""Where the request sets no limit: a small model that does not find an end repeats itself for ever."""

INSTRUCTIONS = "You are a helpful assistant."
"""Where the request gives none. Without any, the model's template puts in a text that makes it worse."""

SAMPLING = {"temperature": 0.0, "repeat_penalty": 1.0}
"""Where the request leaves it open: a small model does best when it says what it is surest of."""

CHUNKS_AHEAD = 16


class LocalHandler(OpenAIConversions):
    """See the module's docstring."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._options = options_as(LocalOptions, settings)
        self._name = settings.name
        self._model: LocalModel | None = None

    @asynccontextmanager
    async def initialize_client(self) -> AsyncIterator[None]:
        """Makes room for the model; the first call loads it."""
        self._model = model = LocalModel(self._options)
        try:
            yield
        finally:
            self._model = None
            await model.close()

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[LocalAnswer]:
        """Generate; with tools, after the model has chosen."""
        if self._model is None:
            raise RuntimeError("the provider is not running")
        request = call.request
        step = constrained.plan(request)
        spent = Usage()
        if isinstance(step, constrained.Choose):
            decided = await self._whole(call, constrained.choosing(request, step))
            spent = decided.usage or Usage()
            step = constrained.decided(step, text_of(decided.content))
        if isinstance(step, constrained.Call):
            written = await self._whole(call, constrained.calling(request, step.tool))
            yield LocalAnswer(_call_events(step.tool.name, written, spent))
            return
        async with self._generation(call, constrained.in_plain_text(request)) as generation:
            yield LocalAnswer((), generation, spent)

    async def _whole(self, call: ProviderCall, request: GenerationRequest) -> Generation:
        fold = Fold()
        async with self._generation(call, request) as generation:
            async for event in generation:
                fold.apply(event)
        return fold.result()

    def _generation(self, call: ProviderCall, request: GenerationRequest) -> _Generation:
        if self._model is None:
            raise RuntimeError("the provider is not running")
        if request.max_output_tokens is None:
            request = replace(request, max_output_tokens=DEFAULT_OUTPUT_TOKENS)
        if not request.system:
            request = replace(request, system=(TextBlock(text=INSTRUCTIONS),))
        traits = ModelTraits(tools=False, images=False)
        encoded = encode_request(request, upstream_name=call.upstream_name, traits=traits, stream=True)
        body = {**SAMPLING, **msgspec.json.decode(encoded, type=dict[str, Any])}
        return _Generation(self._model, body, call.upstream_name, self._name)


class LocalAnswer:
    """Events that are there already, then those of a generation; ``spent`` is added to its usage."""

    def __init__(
        self,
        events: tuple[GenerationEvent, ...],
        generation: _Generation | None = None,
        spent: Usage = Usage(),  # noqa: B008 - a frozen value
    ) -> None:
        self.upstream_request_id: str | None = None
        self._events = deque(events)
        self._generation = generation
        self._spent = spent

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GenerationEvent:
        if self._events:
            return self._events.popleft()
        if self._generation is None:
            raise StopAsyncIteration
        event = await anext(self._generation)
        if isinstance(event, GenerationStopped):
            return replace(event, usage=(event.usage or Usage()) + self._spent)
        return event


class _Generation:
    """One generation under way: a thread computes, a bounded channel carries its chunks here.

    A slow reader stops the thread at the full channel. Leaving closes the channel, which ends the thread at
    its next token.
    """

    def __init__(self, model: LocalModel, body: dict[str, Any], model_name: str, provider: str) -> None:
        self._model = model
        self._body = body
        self._model_name = model_name
        self._provider = provider
        self._decoder = ChunkDecoder()
        self._events: deque[GenerationEvent] = deque()
        self._send: MemoryObjectSendStream[dict[str, Any]]
        self._receive: MemoryObjectReceiveStream[dict[str, Any]]
        self._tasks: TaskGroup
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._model.loaded()
        self._send, self._receive = anyio.create_memory_object_stream(CHUNKS_AHEAD)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._receive.close()
        await self._tasks.__aexit__(None, None, None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GenerationEvent:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            try:
                chunk = await self._receive.receive()
            except anyio.EndOfStream:
                self._ended = True
                self._events.extend(self._decoder.end())
            else:
                self._events.extend(self._decode(chunk))
        return self._events.popleft()

    async def _run(self) -> None:
        with self._send:
            await self._model.generate(self._body, self._take)

    def _take(self, chunk: dict[str, Any]) -> bool:
        """Hand a chunk over, from the generating thread; True once nobody wants more."""
        try:
            from_thread.run(self._send.send, chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return True
        return False

    def _decode(self, chunk: dict[str, Any]) -> tuple[GenerationEvent, ...]:
        error = chunk.get("error")
        if error is not None:
            if error.get("type") == "exceed_context_size_error":
                raise ContextTooLong(
                    f"The prompt has {error.get('n_prompt_tokens')} tokens; "
                    f"the model's window is {error.get('n_ctx')}.",
                    code="context_length_exceeded",
                )
            raise UpstreamServerError("the local model failed", provider=self._provider)
        return self._decoder.feed(msgspec.json.encode({**chunk, "model": self._model_name}))


def _call_events(name: str, written: Generation, spent: Usage) -> tuple[GenerationEvent, ...]:
    """The events of an answer that is one tool call; arguments cut short are not a call."""
    started = GenerationStarted(id=written.id, model=written.model)
    usage = (written.usage or Usage()) + spent
    if written.stop_reason == "max_tokens":
        return (started, GenerationStopped(stop_reason="max_tokens", usage=usage))
    block = ToolUseBlock(id=f"call_{written.id}", name=name, input=msgspec.Raw(b"{}"))
    return (
        started,
        BlockStarted(index=0, block=block),
        ArgumentsDelta(index=0, partial_json=text_of(written.content)),
        BlockStopped(index=0),
        GenerationStopped(stop_reason="tool_use", usage=usage),
    )
