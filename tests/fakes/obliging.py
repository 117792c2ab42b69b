"""A scripted model that does what outside suites hope of one: calls the tools on offer, answers in shape.

- A tool on offer is called once, with arguments that fit its schema; when it has answered, so does the model.
- An answer that is to have a shape is an instance of its schema; one that is to be any object has the fields
  that stand in quotes.
- Everything else is echoed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of, tool_results
from callboard.domain.tools import ToolDefinition
from callboard.providers.script import Reply, Script, Text, Tool


class Obliging(Script, frozen=True, kw_only=True):
    """See the module's docstring. Replies that it is given come first."""

    def reply_to(self, request: GenerationRequest, number: int) -> Reply:
        """The reply to the call ``number``, counted from 0."""
        shape = request.response_format
        tool = _to_be_called(request)
        if number < len(self.replies):
            return self.replies[number]
        if tool is not None:
            arguments = instance_of(_read(tool.input_schema), _said(request))
            return Reply(steps=(Tool(name=tool.name, arguments=arguments, id=f"call_{number}"),))
        if shape is not None and shape.kind != "text":
            said = _said(request)
            named = {"properties": {name: {"type": "string"} for name in _quoted(said)}}
            made = instance_of(named if shape.kind == "json_object" else _read(shape.schema), said)
            return Reply(steps=(Text(text=msgspec.json.encode(made).decode()),))
        results = tool_results(request.messages[-1]) if request.messages else ()
        if results:
            found = ", ".join(text_of(result.content) for result in results)
            return Reply(steps=(Text(text=f"It is {found}."),))
        return Reply(steps=(Text(text=f"echo: {_said(request)}"),))


def instance_of(schema: Mapping[str, Any], said: str) -> Any:
    """Something that ``schema`` describes, of the first number and the first quotation that were ``said``."""
    return _made(schema, schema.get("$defs", {}), said)


def _made(schema: Mapping[str, Any], named: Mapping[str, Any], said: str) -> Any:
    for chosen in (schema.get("anyOf", [])[:1], schema.get("allOf", [])[:1]):
        if chosen:
            return _made(chosen[0], named, said)
    if "$ref" in schema:
        return _made(named[schema["$ref"].rpartition("/")[2]], named, said)
    kind = schema.get("type", "object")
    if kind == "array":
        return [_made(schema.get("items", {"type": "string"}), named, said)]
    if kind == "object":
        return {name: _made(each, named, said) for name, each in schema.get("properties", {}).items()}
    numbers = [*re.findall(r"\d+", said), "1"]
    plain = {"boolean": True, "string": [*_quoted(said), "word"][0]}
    return schema.get("const", schema.get("enum", [plain.get(kind, int(numbers[0]))])[0])


def _quoted(said: str) -> list[str]:
    return re.findall(r"'([^']+)'", said)


def _to_be_called(request: GenerationRequest) -> ToolDefinition | None:
    """The tool that is called; none where they may not be, or have answered and need not be again."""
    choice = request.tool_choice
    mode = "auto" if choice is None else choice.mode
    answered = bool(request.messages) and bool(tool_results(request.messages[-1]))
    if not request.tools or mode == "none" or (mode == "auto" and answered):
        return None
    named = [tool for tool in request.tools if choice is not None and tool.name == choice.name]
    return (named or list(request.tools))[0]


def _said(request: GenerationRequest) -> str:
    users = [message for message in request.messages if message.role == "user"]
    return text_of(users[-1].content) if users else ""


def _read(schema: Raw | None) -> Mapping[str, Any]:
    read: Mapping[str, Any] = {} if schema is None else msgspec.json.decode(schema)
    return read
