"""Calls of tools on MCP servers, and lists of these tools, as items; shown to clients that name the servers.

Calls may run side by side, so each item has its place from when it begins, and is whole when the call is. A
client that keeps its conversation sends the items back: a call is then the call and its result again, and a
list, which is for the client's eyes, is nothing.

Source: OpenAI API reference, "The response object", ``mcp_call`` and ``mcp_list_tools``, and their streaming
events. The Open Responses specification has no such items.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.domain.approval import approval_of, returned_id
from callboard.domain.arguments import arguments_of, tool_use
from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.tools import ToolHome
from callboard.domain.turn import ToolFinished, ToolsListed
from callboard.wire.openai_responses.response import on_a_line
from callboard.wire.openai_responses.schema import NULL

_OURS = re.compile(r"mcpl?_[0-9A-Za-z]+_t[0-9]+")


class ListedTool(Struct, frozen=True, kw_only=True):
    """A tool as its server describes it."""

    name: str
    description: str
    input_schema: Raw
    annotations: None = None


class ListToolsOut(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_list_tools"):
    """The tools of a server that the model is offered."""

    id: str
    server_label: str
    tools: tuple[ListedTool, ...]
    error: str | None = None


class CallError(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_tool_execution_error"):
    """What a call that went wrong said."""

    content: tuple[Mapping[str, str], ...]


class CallOut(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_call"):
    """A call, and what it came to."""

    id: str
    server_label: str
    name: str
    arguments: str
    status: Literal["in_progress", "completed", "incomplete", "failed"] = "in_progress"
    approval_request_id: str | None = None
    output: str | None = None
    error: CallError | None = None


class CallAgain(Struct, frozen=True, kw_only=True):
    """A call that a client sends back."""

    id: str = ""
    server_label: str = ""
    name: str = ""
    arguments: str = ""
    approval_request_id: str | None = None
    output: str | None = None
    error: Raw = NULL


Event: TypeAlias = Callable[[str, Mapping[str, object]], bytes]
_ERROR_TEXTS = msgspec.json.Decoder(Mapping[str, object])


class McpItems:
    """The items of one response. Each method that tells gives back whole events.

    Args:
        response_id: Whose.
        event: Encodes an event of a name with its fields.
    """

    def __init__(self, response_id: str, event: Event) -> None:
        self._suffix = response_id.removeprefix("resp_")
        self._event = event
        self._count = 0
        self._running: dict[str, tuple[int, CallOut]] = {}

    def listed(self, event: ToolsListed, index: int) -> tuple[ListToolsOut, bytes]:
        """A list, whole; it stands at ``index`` of the output."""
        item = ListToolsOut(
            id=self._name("mcpl"),
            server_label=event.server,
            tools=tuple(
                ListedTool(
                    name=each.name if each.home is None else each.home.tool,
                    description=each.description,
                    input_schema=on_a_line(each.input_schema),
                )
                for each in event.tools
            ),
        )
        place = {"output_index": index, "item_id": item.id}
        told = self._event(
            "response.output_item.added", {"output_index": index, "item": replace(item, tools=())}
        )
        told += self._event("response.mcp_list_tools.in_progress", place)
        told += self._event("response.mcp_list_tools.completed", place)
        return item, told + self._event("response.output_item.done", {"output_index": index, "item": item})

    def started(self, call: ToolUseBlock, home: ToolHome, index: int) -> bytes:
        """A call begins; it stands at ``index``."""
        approval = approval_of(call)
        item = CallOut(
            id=self._name("mcp"),
            server_label=home.server,
            name=home.tool,
            arguments=arguments_of(call).lstrip(),
            approval_request_id=None if approval is None else approval.id,
        )
        self._running[call.id] = (index, item)
        place = {"output_index": index, "item_id": item.id}
        told = self._event(
            "response.output_item.added", {"output_index": index, "item": replace(item, arguments="")}
        )
        told += self._event("response.mcp_call.in_progress", place)
        if item.arguments:
            told += self._event("response.mcp_call_arguments.delta", {**place, "delta": item.arguments})
        return told + self._event("response.mcp_call_arguments.done", {**place, "arguments": item.arguments})

    def finished(self, event: ToolFinished) -> tuple[int, CallOut, bytes] | None:
        """A call has ended, which stands there; None for one that is not shown."""
        index, item = self._running.pop(event.result.tool_use_id, (0, None))
        if item is None:
            return None
        texts = [each.text for each in event.result.content if isinstance(each, TextBlock)]
        if event.result.is_error:
            said = tuple({"type": "text", "text": text} for text in texts)
            item = replace(item, status="failed", error=CallError(content=said))
        else:
            item = replace(item, status="completed", output="\n".join(texts))
        return index, item, self._end(index, item)

    def abandoned(self) -> list[tuple[int, CallOut, bytes]]:
        """The calls of which nothing more will be heard."""
        lost = CallError(content=({"type": "text", "text": "What it came to is not known."},))
        found: list[tuple[int, CallOut, bytes]] = []
        for index, item in self._running.values():
            ended = replace(item, status="failed", error=lost)
            found.append((index, ended, self._end(index, ended)))
        self._running.clear()
        return found

    def _end(self, index: int, item: CallOut) -> bytes:
        place = {"output_index": index, "item_id": item.id}
        told = self._event(f"response.mcp_call.{item.status}", place)
        return told + self._event("response.output_item.done", {"output_index": index, "item": item})

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._suffix}_t{self._count - 1}"


def is_ours(item_id: str | None) -> bool:
    """Whether an item of this name is one that servers of our kind make."""
    return item_id is not None and _OURS.fullmatch(item_id) is not None


def call_again(item: CallAgain) -> tuple[ToolUseBlock | None, ToolResultBlock]:
    """The call that an item of ours tells of, and its result.

    There is only the result where the call was approved: the request for approval stands before it.
    """
    failed = item.error != NULL
    text = _text_of(item.error) if failed else item.output
    content = (TextBlock(text=text),) if text else ()
    asked = item.approval_request_id
    if asked is not None:
        return None, ToolResultBlock(tool_use_id=returned_id(asked), content=content, is_error=failed)
    call = tool_use(f"call_{item.id}", f"{item.server_label}__{item.name}", item.arguments)
    return call, ToolResultBlock(tool_use_id=call.id, content=content, is_error=failed)


def _text_of(error: Raw) -> str:
    try:
        content = _ERROR_TEXTS.decode(error).get("content")
    except msgspec.DecodeError:
        return ""
    parts = content if isinstance(content, Sequence) and not isinstance(content, str) else ()
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
