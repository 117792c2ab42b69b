"""A turn as it streams: the generations of all its rounds as one, with the tools that ran between them.

What a consumer sees of a turn is one generation in the order `callboard.domain.delta` states: one
`GenerationStarted`, blocks numbered 0, 1, 2 … over all rounds, one `GenerationStopped` with the usage of all
rounds. Calls of the runtime's own tools are not blocks of that answer; they show as `ToolStarted` and
`ToolFinished` between blocks, for those who watch. Those that wait for an approval show behind all blocks, as
`ApprovalAsked`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from callboard.domain.block import Block, TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import GenerationEvent
from callboard.domain.generation import StopReason
from callboard.domain.message import text_of
from callboard.domain.tools import ToolDefinition, ToolHome
from callboard.domain.usage import Usage


class ToolStarted(Struct, frozen=True, kw_only=True, tag=True):
    """One of the runtime's own tools begins to run.

    Attributes:
        home: Its MCP server, where the client has named that one.
    """

    call: ToolUseBlock
    home: ToolHome | None = None


class ToolFinished(Struct, frozen=True, kw_only=True, tag=True):
    """It came to this."""

    name: str
    result: ToolResultBlock


class ApprovalAsked(Struct, frozen=True, kw_only=True, tag=True):
    """One of the runtime's own tools is not run until this call is approved (`callboard.domain.approval`)."""

    call: ToolUseBlock


class ToolsListed(Struct, frozen=True, kw_only=True, tag=True):
    """The tools that the model is offered of an MCP server which the client has named."""

    server: str
    tools: tuple[ToolDefinition, ...]


Aside: TypeAlias = ToolStarted | ToolFinished | ApprovalAsked | ToolsListed
"""What happens besides the answer."""

ASIDES = (ToolStarted, ToolFinished, ApprovalAsked, ToolsListed)
"""The same for `isinstance`, which is quick with a tuple."""

TurnEvent: TypeAlias = GenerationEvent | Aside


def is_complete(stop_reason: StopReason, content: Iterable[Block]) -> bool:
    """Whether an answer that came to its end says all that was to be said; a refusal in words does."""
    if stop_reason == "refusal":
        return any(isinstance(block, TextBlock) and "refusal" in (block.extra or {}) for block in content)
    return stop_reason != "max_tokens"


class ToolRun(Struct, frozen=True, kw_only=True):
    """One call of one of the runtime's own tools, and its result."""

    call: ToolUseBlock
    result: ToolResultBlock


class Reply(Struct, frozen=True, kw_only=True):
    """The whole answer to one turn.

    Attributes:
        response_id: Names this answer as ``previous_response_id`` of the next turn.
        content: Text, thinking, and calls of the client's own tools, in order.
        tool_calls: Calls the caller has to run and answer; empty unless ``stop_reason`` is ``tool_use``.
        tool_runs: The runtime's own tools that ran on the way.
        usage: Of all rounds together.
    """

    response_id: str
    model: str
    content: tuple[Block, ...]
    stop_reason: StopReason
    usage: Usage
    tool_runs: tuple[ToolRun, ...] = ()

    @property
    def text(self) -> str:
        """The answer's text."""
        return text_of(self.content)

    @property
    def tool_calls(self) -> tuple[ToolUseBlock, ...]:
        """Calls the caller has to run and answer."""
        return tuple(block for block in self.content if isinstance(block, ToolUseBlock))
