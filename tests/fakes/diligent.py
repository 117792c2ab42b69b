"""A scripted model that calls every tool on offer, all at once, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from callboard.domain.block import ToolResultBlock
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of, tool_results
from callboard.providers.script import Reply, Script, Text, Tool
from tests.fakes.company import Stage
from tests.fakes.obliging import instance_of

DONE = "It is done."


class Diligent(Script, frozen=True, kw_only=True):
    """See the module's docstring.

    Attributes:
        arguments: For the tools that are named; others get what fits their schema.
    """

    arguments: Mapping[str, Mapping[str, Any]] = {}

    def reply_to(self, request: GenerationRequest, number: int) -> Reply:
        """Calls, and after their results the end."""
        if tool_results(request.messages[-1]):
            return Reply(steps=(Text(text=DONE),))
        schemas = {tool.name: msgspec.json.decode(tool.input_schema) for tool in request.tools}
        arguments = {name: instance_of(schema, "") for name, schema in schemas.items()}
        arguments |= {name: self.arguments[name] for name in schemas if name in self.arguments}
        calls = (Tool(name=name, id=f"of_{name}", arguments=each) for name, each in arguments.items())
        return Reply(steps=tuple(calls))


def results_in(stage: Stage, handler: str = "demo") -> dict[str, ToolResultBlock]:
    """What the diligent model was told of its calls, by the names of the tools."""
    last = stage.handlers[handler].calls[-1].request.messages[-1]
    return {each.tool_use_id.removeprefix("of_"): each for each in tool_results(last)}


def texts_in(stage: Stage, handler: str = "demo") -> dict[str, str]:
    """The texts of the results."""
    return {name: text_of(each.content) for name, each in results_in(stage, handler).items()}
