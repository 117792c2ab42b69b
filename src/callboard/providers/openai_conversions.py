"""The six pure methods of a handler whose provider speaks the OpenAI chat dialect."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.generation import Generation
from callboard.domain.message import Message
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolDefinition, ToolOutcome
from callboard.providers.tool_results import tool_result
from callboard.wire.openai_chat.outgoing import encode_messages, system_messages
from callboard.wire.openai_chat.request import encode_tools
from callboard.wire.openai_chat.response import decode_response, decode_tool_call


class OpenAIConversions:
    """Between the domain and OpenAI's structs; see `callboard.providers.handler.ProviderHandler`."""

    def prepare_system(self, system: Sequence[TextBlock], traits: ModelTraits) -> Sequence[Struct]:
        """One message in front of the others."""
        return system_messages(system, traits)

    def convert_to_provider_messages(self, messages: Sequence[Message]) -> Sequence[Struct]:
        """The messages; tool results become messages of their own."""
        return encode_messages(messages)

    def prepare_tools(self, tools: Sequence[ToolDefinition]) -> Sequence[Struct]:
        """The tools as functions."""
        return encode_tools(tools)

    def convert_from_provider_response(self, body: bytes) -> Generation:
        """A ``chat.completion`` document."""
        return decode_response(body)

    def parse_tool_use(self, call: Struct) -> ToolUseBlock:
        """An entry of ``tool_calls``."""
        return decode_tool_call(call)

    def make_tool_result(self, tool_use_id: str, outcome: ToolOutcome) -> ToolResultBlock:
        """See `callboard.providers.tool_results`."""
        return tool_result(tool_use_id, outcome)
