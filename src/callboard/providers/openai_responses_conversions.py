"""The six pure methods of a handler whose provider speaks the Responses dialect."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw, Struct

from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.generation import Generation
from callboard.domain.message import Message
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolDefinition, ToolOutcome
from callboard.providers.tool_results import tool_result
from callboard.wire.openai_responses.outgoing import encode_items, system_items
from callboard.wire.openai_responses.upstream_request import encode_tools
from callboard.wire.openai_responses.upstream_response import decode_call
from callboard.wire.openai_responses.upstream_stream import decode_response


class OpenAIResponsesConversions:
    """Between the domain and the dialect's structs; see `callboard.providers.handler.ProviderHandler`."""

    def prepare_system(self, system: Sequence[TextBlock], traits: ModelTraits) -> Sequence[Struct]:
        """Message items in front of the others."""
        return system_items(system, traits)

    def convert_to_provider_messages(self, messages: Sequence[Message]) -> Sequence[Struct]:
        """The messages as items; calls, results and reasoning are items of their own.

        Items of types that we do not know have no struct, and are not among them.
        """
        return [item for item in encode_items(messages) if not isinstance(item, Raw)]

    def prepare_tools(self, tools: Sequence[ToolDefinition]) -> Sequence[Struct]:
        """The tools as functions."""
        return encode_tools(tools)

    def convert_from_provider_response(self, body: bytes) -> Generation:
        """A Response object."""
        return decode_response(body)

    def parse_tool_use(self, call: Struct) -> ToolUseBlock:
        """A ``function_call`` item."""
        return decode_call(call)

    def make_tool_result(self, tool_use_id: str, outcome: ToolOutcome) -> ToolResultBlock:
        """See `callboard.providers.tool_results`."""
        return tool_result(tool_use_id, outcome)
