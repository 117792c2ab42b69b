"""Items: a conversation as clients list it, name its parts and take some of them away.

An item is what the Responses API calls one: a message, a call, what a call came to, a thought. Here it is a
`Message` that holds the blocks of one such entry and no others. `taken_apart` makes items of messages, and
`together` puts together again what is one message for a model: what was said and called at once, the results
of calls that were made at once.

Two kinds of item are not the domain's, and are marked so that they can be listed and given back:

- Instructions may stand among a conversation's items, but never among messages: `lifted` takes them out.
- An item of a type that we do not know is an `OpaqueBlock` of the type `ITEM`.

The name of an item says whose it is and where it stands, so that the same item has the same name wherever it
is told of, and can be found by it::

    msg_RESPONSE_3        the fourth item that a response showed
    msg_RESPONSE_in0      the first of its input
    fco_RESPONSE_own1     the second of those that it did not show: what tools of ours were asked, and said
    msg_CONVERSATION_c7   the eighth item of a conversation, where a client put it there
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.domain.approval import APPROVAL, approval_of
from callboard.domain.block import (
    Block,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from callboard.domain.message import Message

ITEM = "item"
"""Type of an `OpaqueBlock` that is an item of a type we do not know; its JSON has that one as ``item``."""

ITEM_ID = "id"
"""Key in the ``extra`` of a block of thinking: the id of the item that it came as."""

INSTRUCTIONS = "instructions"
"""Key in the ``extra`` of a message that is none but instructions: the role they were given in."""

_TEXT = msgspec.json.Decoder(str)


class Owner(Struct, frozen=True, kw_only=True):
    """Whose an item is, by its name; one of the two."""

    response_id: str = ""
    conversation_id: str = ""


# --- instructions
# --------------------------------------------------------------------------------------------------


def instructions(role: str, content: tuple[TextBlock, ...]) -> Message:
    """Instructions as an item, given in a ``role`` such as ``developer``."""
    return Message(role="user", content=content, extra={INSTRUCTIONS: Raw(msgspec.json.encode(role))})


def instructing_role(message: Message) -> str | None:
    """The role that instructions were given in; None for any other message."""
    role = None if message.extra is None else message.extra.get(INSTRUCTIONS)
    return None if role is None else _TEXT.decode(role)


def lifted(messages: tuple[Message, ...]) -> tuple[tuple[TextBlock, ...], tuple[Message, ...]]:
    """The instructions among ``messages``, and those that are messages; each in their order."""
    system: list[TextBlock] = []
    others: list[Message] = []
    for message in messages:
        if message.extra is not None and INSTRUCTIONS in message.extra:
            system += [block for block in message.content if isinstance(block, TextBlock)]
        else:
            others.append(message)
    return tuple(system), tuple(others) if system else messages


# --- apart and together
# --------------------------------------------------------------------------------------------


def taken_apart(messages: Iterable[Message]) -> Iterator[Message]:
    """The items of ``messages``. What is said without anything else in between is one."""
    for message in messages:
        if len(message.content) == 1:
            yield message
            continue
        said: list[Block] = []
        for block in message.content:
            if prefix_of(block) == "msg":
                said.append(block)
                continue
            if said:
                yield replace(message, content=tuple(said))
                said.clear()
            yield replace(message, content=(block,))
        if said:
            yield replace(message, content=tuple(said))


def together(items: Sequence[Message]) -> tuple[Message, ...]:
    """Items as messages, instructions not among them: what follows each other of one role is one."""
    runs: list[tuple[Message, list[Block]]] = []
    for item in items:
        if runs and runs[-1][0].role == item.role:
            runs[-1][1].extend(item.content)
        else:
            runs.append((item, list(item.content)))
    return tuple(
        first if len(content) == len(first.content) else replace(first, content=tuple(content))
        for first, content in runs
    )


# --- names
# ---------------------------------------------------------------------------------------------------------


def prefix_of(block: Block) -> str:
    """What the names of items of this kind begin with; ``msg`` for whatever is part of a message."""
    match block:
        case ToolUseBlock():
            return "fc" if approval_of(block) is None else "mcpr"
        case ToolResultBlock():
            return "fco"
        case ThinkingBlock() | RedactedThinkingBlock():
            return "rs"
        case OpaqueBlock(type=kind) if kind == ITEM:
            return "item"
        case OpaqueBlock(type=kind) if kind == APPROVAL:
            return "mcpa"
        case _:
            return "msg"


def is_shown(block: Block) -> bool:
    """Whether a block of an answer is an item of it."""
    return isinstance(block, TextBlock | ToolUseBlock | ThinkingBlock | RedactedThinkingBlock)


def own_id(block: Block) -> str | None:
    """The name that a block's item must have: what is encrypted may be bound to the one it came under.

    A request for approval has one too.
    """
    approval = approval_of(block)
    if approval is not None:
        return approval.id
    if not isinstance(block, ThinkingBlock | RedactedThinkingBlock) or block.extra is None:
        return None
    item_id = block.extra.get(ITEM_ID)
    return None if item_id is None else _TEXT.decode(item_id)


def shown_id(response_id: str, block: Block, place: int, *, ours: bool = False) -> str:
    """Name of the item at ``place`` of those that a response shows; with ``ours``, never a provider's."""
    own = None if ours else own_id(block)
    return own or f"{prefix_of(block)}_{_suffix(response_id)}_{place}"


def input_id(response_id: str, item: Message, place: int) -> str:
    """Name of the item at ``place`` of a response's input."""
    return f"{prefix_of(item.content[0])}_{_suffix(response_id)}_in{place}"


def hidden_id(response_id: str, block: Block, place: int) -> str:
    """Name of the item at ``place`` of those that a response does not show."""
    return own_id(block) or f"{prefix_of(block)}_{_suffix(response_id)}_own{place}"


def appended_id(conversation_id: str, item: Message, place: int) -> str:
    """Name of the item that a client puts into a conversation as the one at ``place`` of all that were."""
    return f"{prefix_of(item.content[0])}_{_suffix(conversation_id)}_c{place}"


def owner_of(item_id: str) -> Owner | None:
    """Whose the item of this name is, where the name says so."""
    _, found, rest = item_id.partition("_")
    suffix, found_too, place = rest.rpartition("_")
    if not (found and found_too and suffix and place):
        return None
    if place.startswith("c"):
        return Owner(conversation_id=f"conv_{suffix}")
    return Owner(response_id=f"resp_{suffix}")


def _suffix(owner_id: str) -> str:
    return owner_id.removeprefix("resp_").removeprefix("conv_")
