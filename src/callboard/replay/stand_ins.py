"""What a recorded turn meets when it is run again: a model and tools that say what they said."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
from anyio.lowlevel import checkpoint
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.domain.block import ToolResultBlock, ToolUseBlock
from callboard.domain.delta import BlockStarted, GenerationEvent, GenerationStarted, GenerationStopped
from callboard.domain.fold import events_of
from callboard.domain.generation import Generation
from callboard.domain.tools import ToolDefinition, ToolOutcome
from callboard.domain.turn import ApprovalAsked, ToolFinished, ToolsListed, ToolStarted
from callboard.domain.turn_log import LogEvent, RoundEnded, TurnBroken, TurnInterrupted, error_of
from callboard.errors import StreamIncomplete
from callboard.providers.handler import ProviderCall
from callboard.providers.openai_conversions import OpenAIConversions
from callboard.tools.context import ToolContext
from callboard.tools.source import ToolTraits


class Played(Struct, frozen=True, kw_only=True):
    """One generation.

    Attributes:
        events: Its events, numbered from 0; the last is no `GenerationStopped` where it was not whole.
        broken: What failed it; None where it goes on for ever once its events have been played.
    """

    events: tuple[GenerationEvent, ...]
    broken: TurnBroken | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it came to its end."""
        return bool(self.events) and isinstance(self.events[-1], GenerationStopped)


def generations(log: Sequence[LogEvent]) -> list[Played]:
    """The generations that ``log`` tells of."""
    found: list[Played] = []
    blocks: list[list[GenerationEvent]] = []
    broken: TurnBroken | None = None
    for event in log:
        match event:
            case RoundEnded():
                for each in event.hidden:
                    blocks.insert(each.place, _events_of_call(each.call))
                last = GenerationStopped(stop_reason=event.stop_reason, usage=event.usage)
                found.append(Played(events=(*_numbered(blocks), last)))
                blocks = []
            case BlockStarted():
                blocks.append([event])
            case TurnBroken():
                broken = event if event.why == "failed" else None
            case GenerationStarted() | GenerationStopped() | TurnInterrupted():
                pass
            case ToolStarted() | ToolFinished() | ApprovalAsked() | ToolsListed():
                pass
            case _:
                blocks[-1].append(event)
    if blocks or isinstance(log[-1], TurnBroken):
        found.append(Played(events=tuple(_numbered(blocks)), broken=broken))
    return found


def _events_of_call(call: ToolUseBlock) -> list[GenerationEvent]:
    generation = Generation(id="", model="", content=(call,), stop_reason="tool_use")
    return list(events_of(generation))[1:-1]


def _numbered(blocks: Sequence[Sequence[GenerationEvent]]) -> list[GenerationEvent]:
    return [
        event if isinstance(event, GenerationStarted | GenerationStopped) else replace(event, index=index)
        for index, block in enumerate(blocks)
        for event in block
    ]


class RecordedModel(OpenAIConversions):
    """A provider that plays recorded generations, one for each call."""

    def __init__(self, played: Sequence[Played]) -> None:
        self._left = deque(played)

    @asynccontextmanager
    async def initialize_client(self) -> AsyncIterator[None]:
        """Nothing to open."""
        yield

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[RecordedAnswer]:
        """The next generation; one that was not recorded breaks off at once."""
        if not self._left:
            raise StreamIncomplete("the recording has no further generation")
        played = self._left[0]
        if played.is_whole:  # one that failed fails again, as often as it is tried
            self._left.popleft()
        yield RecordedAnswer(played, call.upstream_name)


class RecordedAnswer:
    """A generation as it is played."""

    def __init__(self, played: Played, model: str) -> None:
        self.upstream_request_id: str | None = None
        self._left: deque[GenerationEvent] = deque(played.events)
        if self._left:
            self._left.appendleft(GenerationStarted(id="recorded", model=model))
        self._played = played

    def __aiter__(self) -> RecordedAnswer:
        return self

    async def __anext__(self) -> GenerationEvent:
        await checkpoint()
        if self._left:
            return self._left.popleft()
        if self._played.broken is not None:
            raise error_of(self._played.broken)
        if not self._played.is_whole:
            await anyio.sleep_forever()
        raise StopAsyncIteration


class RecordedTools:
    """A source of tools that answer what they answered; a call that had no result gets none.

    Those that the client was shown on MCP servers are there again.
    """

    def __init__(self, log: Sequence[LogEvent]) -> None:
        self._results: defaultdict[bytes, deque[ToolResultBlock]] = defaultdict(deque)
        self._tools: dict[str, ToolDefinition] = {}
        started: dict[str, ToolUseBlock] = {}
        for event in log:
            match event:
                case ToolsListed():
                    self._tools.update((tool.name, tool) for tool in event.tools)
                case ToolStarted(call=call):
                    started[call.id] = call
                    self._tools.setdefault(call.name, ToolDefinition(name=call.name, home=event.home))
                case ToolFinished():
                    call = started[event.result.tool_use_id]
                    self._results[_key(call.name, call.input)].append(event.result)
                case _:
                    pass

    async def definitions(self) -> tuple[ToolDefinition, ...]:
        """Those that were listed or called."""
        return tuple(self._tools.values())

    def traits(self, name: str) -> ToolTraits:
        """They have no effect, so any may be run again."""
        return ToolTraits(idempotent=True, timeout_s=float("inf"))

    async def call(self, name: str, arguments: Raw, context: ToolContext) -> ToolOutcome:
        """What the next call with these arguments came to."""
        results = self._results[_key(name, arguments)]
        if not results:
            await anyio.sleep_forever()
        result = results.popleft()
        return ToolOutcome(content=result.content, is_error=result.is_error)


def _key(name: str, arguments: Raw) -> bytes:
    return msgspec.json.encode((name, msgspec.json.decode(arguments)), order="sorted")
