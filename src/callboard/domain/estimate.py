"""How many tokens something will be, before a provider has counted them.

Estimates reserve: they are replaced by what the provider reports as soon as it does, and a ledger line says
which of the two it holds. Four bytes a token is the usual rule for English and errs on the high side for
code; other scripts take more bytes for a character and about as many more tokens.
"""

from __future__ import annotations

from collections.abc import Iterable

from callboard.domain.block import (
    Block,
    DocumentBlock,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message
from callboard.domain.steps import IN_A_STEP, Steps, at_once

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 1000
TOKENS_PER_DOCUMENT = 2000
DEFAULT_OUTPUT_TOKENS = 4096
"""For an answer whose length neither the client nor the operator bounds."""


def tokens_of_bytes(count: int) -> int:
    """Tokens of ``count`` bytes of text, rounded up."""
    return -(-count // BYTES_PER_TOKEN)


def prompt_tokens(request: GenerationRequest) -> int:
    """Tokens of everything ``request`` makes the model read."""
    return at_once(counting(request))


def counting(request: GenerationRequest) -> Steps[int]:
    """`prompt_tokens` in steps."""
    total = sum(tokens_of_bytes(len(block.text.encode())) for block in request.system)
    for tool in request.tools:
        total += tokens_of_bytes(tool.length)
    return total + (yield from _counting_messages(request.messages))


def messages_tokens(messages: Iterable[Message]) -> int:
    """Tokens of a conversation or a part of one."""
    return at_once(_counting_messages(messages))


def _counting_messages(messages: Iterable[Message]) -> Steps[int]:
    total = done = 0
    for message in messages:
        done += len(message.content)
        if done > IN_A_STEP:
            yield
            done = 0
        total += TOKENS_PER_MESSAGE
        for block in message.content:
            total += _block_tokens(block)
    return total


def output_tokens(asked: int | None, limit: int | None) -> int:
    """The most tokens that an answer will have.

    Args:
        asked: What the client allows, if it says so.
        limit: The model's own, if it is known; it bounds what the client left open, too: a budget cannot be
            overshot by silence.
    """
    output = asked or limit or DEFAULT_OUTPUT_TOKENS
    return min(output, limit or output)


def _block_tokens(block: Block) -> int:  # noqa: PLR0911 - one line for each kind of block
    match block:
        case TextBlock(text=text):
            return -(-(len(text) if text.isascii() else len(text.encode())) // BYTES_PER_TOKEN)
        case ThinkingBlock():
            return tokens_of_bytes(len(block.thinking.encode()))
        case RedactedThinkingBlock():
            return tokens_of_bytes(len(block.data))
        case ToolUseBlock():
            return tokens_of_bytes(len(block.name) + len(bytes(block.input)))
        case ToolResultBlock():
            return sum([_block_tokens(each) for each in block.content])
        case ImageBlock():
            return TOKENS_PER_IMAGE
        case DocumentBlock():
            return TOKENS_PER_DOCUMENT
        case OpaqueBlock():
            return tokens_of_bytes(len(bytes(block.raw)))
