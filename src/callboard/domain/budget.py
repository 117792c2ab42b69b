"""The history budget: what of a long conversation is sent, so that a model's window holds it.

A conversation falls into *turns*: what the user says, up to what he says next. A message that only carries
tool results says nothing and opens no turn. The latest turn, the instructions and the tools always stay as
they are; of the older turns, the oldest first, as much is taken as has to be, in two rounds:

1. *Abbreviate*: long texts and long tool results are cut to a head and a tail, images and documents give way
   to a line of text that says so.
2. *Drop*: whole turns go, so that no question is left without its answer.

Each step takes something from what the step before has left, and the first that fits is the result: a larger
budget never keeps less, and what fits already is not changed. Nothing here changes what is stored.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec.structs import replace

from callboard.domain.block import Block, DocumentBlock, ImageBlock, ResultContent, TextBlock, ToolResultBlock
from callboard.domain.estimate import counting, messages_tokens, output_tokens
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message
from callboard.domain.model import ModelTraits
from callboard.domain.pairing import repairing
from callboard.domain.steps import IN_A_STEP, Steps, at_once
from callboard.errors import ContextTooLong

LONG_TEXT = 2000
"""Characters from which a text is long. Head, mark and tail together are shorter: nothing is cut twice."""
HEAD = 1000
TAIL = 500
NEAR = 100
"""How many characters of head or tail are given up to cut between sentences or words."""

Turn: TypeAlias = tuple[Message, ...]


def prompt_budget(traits: ModelTraits, max_output_tokens: int | None) -> int | None:
    """Tokens that a prompt may have: the window without room for the answer; None where it is unknown.

    The answer's room is at most half of the window: limits of models are often as large as their windows.

    Args:
        traits: The model's.
        max_output_tokens: What the request allows the answer; None applies the model's limit.
    """
    window = traits.context_window
    if window is None:
        return None
    return window - min(output_tokens(max_output_tokens, traits.max_output_tokens), window // 2)


def fitting(
    request: GenerationRequest, budget_tokens: int, *, window_tokens: int | None = None
) -> GenerationRequest:
    """``request`` with as much of its conversation as the budget holds, by `callboard.domain.estimate`.

    The pairing of calls and results holds in what is returned, even where it did not before. The very same
    request comes back where it is sound and fits.

    Args:
        request: Its ``messages`` alone may be shortened.
        budget_tokens: For the whole prompt; see `prompt_budget`.
        window_tokens: Where older turns have gone and the latest alone is over the budget, it may take of the
            answer's room, up to this; None allows nothing over the budget.

    Raises:
        ContextTooLong: The latest turn does not fit.
    """
    return at_once(shortening(request, budget_tokens, window_tokens))


def shortening(
    request: GenerationRequest, budget_tokens: int, window_tokens: int | None
) -> Steps[GenerationRequest]:
    """`fitting` in steps."""
    # Repaired first, because what a repair adds counts too. Later steps keep calls with their results.
    messages = yield from repairing(request.messages)
    sound = request if messages is request.messages else replace(request, messages=messages)
    excess = (yield from counting(sound)) - budget_tokens
    if excess <= 0:
        return sound
    turns = _turns(messages)
    older = len(turns) - 1
    for at in range(older):
        if excess <= 0:
            break
        if at % IN_A_STEP == 0:
            yield
        excess -= _put(turns, at, tuple(_abbreviated(message) for message in turns[at]))
    dropped = 0
    while excess > 0 and dropped < older:
        if dropped % IN_A_STEP == 0:
            yield
        excess -= _put(turns, dropped, ())
        dropped += 1
        excess -= _put(turns, dropped, _without_orphans(turns[dropped]))
    limit_tokens = budget_tokens if window_tokens is None else window_tokens
    if excess > 0 and budget_tokens + excess > limit_tokens:
        raise ContextTooLong(
            f"The prompt has about {budget_tokens + excess} tokens without the conversation before it; "
            f"there is room for {limit_tokens}.",
            code="context_length_exceeded",
        )
    return replace(request, messages=tuple(message for turn in turns for message in turn))


def _turns(messages: tuple[Message, ...]) -> list[Turn]:
    """The turns, oldest first; at least one. What stands before the user's first words is a turn too."""
    starts = [0, *(at for at, message in enumerate(messages) if at and _opens_turn(message))]
    return [messages[start:end] for start, end in zip(starts, [*starts[1:], len(messages)], strict=True)]


def _opens_turn(message: Message) -> bool:
    """Whether the user says something, be it next to the results of the turn before."""
    return message.role == "user" and any(not isinstance(block, ToolResultBlock) for block in message.content)


def _put(turns: list[Turn], at: int, turn: Turn) -> int:
    """Replace a turn by a shorter one; returns the tokens saved."""
    saved = messages_tokens(turns[at]) - messages_tokens(turn)
    turns[at] = turn
    return saved


def _without_orphans(turn: Turn) -> Turn:
    """A turn whose predecessor is gone: results of calls in there go with it."""
    first = turn[0]
    content = tuple(block for block in first.content if not isinstance(block, ToolResultBlock))
    return (replace(first, content=content), *turn[1:])


def _abbreviated(message: Message) -> Message:
    return replace(message, content=tuple(_short_block(block) for block in message.content))


def _short_block(block: Block) -> Block:
    match block:
        case ToolResultBlock():
            return replace(block, content=tuple(_short(each) for each in block.content))
        case TextBlock() | ImageBlock() | DocumentBlock():
            return _short(block)
        case _:
            return block


def _short(block: ResultContent) -> ResultContent:
    match block:
        case TextBlock() if len(block.text) > LONG_TEXT:
            return replace(block, text=_short_text(block.text))
        case ImageBlock():
            return TextBlock(text="[an image was cut here]")
        case DocumentBlock():
            return TextBlock(text="[a document was cut here]")
        case _:
            return block


def _short_text(text: str) -> str:
    head, tail = _head(text), _tail(text)
    return f"{head}\n[{len(text) - len(head) - len(tail)} characters were cut here]\n{tail}"


def _head(text: str) -> str:
    for end in (". ", "\n", " "):
        at = text.rfind(end, HEAD - NEAR, HEAD)
        if at >= 0:
            return text[: at + 1]
    return text[:HEAD]


def _tail(text: str) -> str:
    start = len(text) - TAIL
    # Where there is no space, find's -1 begins the tail where it would have begun anyway.
    return text[max(text.find(" ", start, start + NEAR) + 1, start) :]
