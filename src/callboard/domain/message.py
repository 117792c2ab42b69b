"""Messages: who says what, as a tuple of blocks."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from callboard.domain.block import Block, Extra, TextBlock, ToolResultBlock, ToolUseBlock


class Message(Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a conversation.

    Attributes:
        role: Tool results are the user's; instructions to the model are not messages but
            `callboard.domain.generation.GenerationRequest.system`.
        content: Never mutated; conversions build new messages.
        extra: What other dialects need to come back unchanged (e.g. a participant's ``name``).
    """

    role: Literal["user", "assistant"]
    content: tuple[Block, ...]
    extra: Extra | None = None


def user_text(text: str) -> Message:
    """A user message of one text block."""
    return Message(role="user", content=(TextBlock(text=text),))


def text_of(content: tuple[Block, ...]) -> str:
    """The text blocks of ``content``, joined without separator."""
    return "".join(block.text for block in content if isinstance(block, TextBlock))


def tool_uses(message: Message) -> tuple[ToolUseBlock, ...]:
    """The tool calls of a message, in order."""
    return tuple(block for block in message.content if isinstance(block, ToolUseBlock))


def tool_results(message: Message) -> tuple[ToolResultBlock, ...]:
    """The tool results of a message, in order."""
    return tuple(block for block in message.content if isinstance(block, ToolResultBlock))
