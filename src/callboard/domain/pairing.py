"""The invariant of tool calls: each has exactly one result, and it stands in the next message.

Providers refuse a conversation that breaks it, so a crash between a call and its result would make the
conversation unusable for ever. What is loaded, or comes from a client, is therefore checked, and can be
repaired in both directions: results without a call are dropped, calls without a result get one that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from callboard.domain.block import Block, TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.message import Message, tool_results, tool_uses
from callboard.domain.steps import IN_A_STEP, Steps, at_once

INTERRUPTED = "The call was interrupted; whether it had any effect is not known."

Messages: TypeAlias = tuple[Message, ...]


def interrupted(tool_use_id: str) -> ToolResultBlock:
    """The result of a call whose outcome nobody knows."""
    content = (TextBlock(text=INTERRUPTED),)
    return ToolResultBlock(tool_use_id=tool_use_id, content=content, is_error=True)


def check(messages: Messages) -> str | None:
    """None where the invariant holds, else what breaks it first, in words fit for the client."""
    return at_once(_checking(messages))


def _checking(messages: Messages) -> Steps[str | None]:
    open_calls: tuple[str, ...] = ()
    done = 0
    for message in messages:
        done += len(message.content)
        if done > IN_A_STEP:
            yield
            done = 0
        if not open_calls and not _is_about_tools(message):
            continue
        broken = _broken_by(message, open_calls)
        if broken is not None:
            return broken
        open_calls = tuple(call.id for call in tool_uses(message))
    return _unanswered(open_calls[0]) if open_calls else None


def _is_about_tools(message: Message) -> bool:
    for block in message.content:  # noqa: SIM110 - a third of any()'s price, paid for every message
        if isinstance(block, ToolUseBlock | ToolResultBlock):
            return True
    return False


def _broken_by(message: Message, open_calls: tuple[str, ...]) -> str | None:
    answered = [block.tool_use_id for block in message.content if isinstance(block, ToolResultBlock)]
    called = [block.id for block in message.content if isinstance(block, ToolUseBlock)]
    answers, opened = set(answered), set(open_calls)
    misplaced = called if message.role == "user" else answered
    late = any(isinstance(block, ToolResultBlock) for block in message.content[len(answered) :])
    unique = len(answers) == len(answered) and len(set(called)) == len(called)
    if answers == opened and unique and not misplaced and not late:
        return None
    missing = next((call_id for call_id in open_calls if call_id not in answers), None)
    orphan = next((call_id for call_id in answered if call_id not in opened), None)
    rules = (
        (missing is not None, _unanswered(missing or "")),
        (orphan is not None, f"tool result '{orphan}' answers no call of the message before it"),
        (bool(misplaced), "the assistant calls tools, and the user answers"),
        (len(answers) != len(answered), "a tool call has more than one result"),
        (late, "tool results must come before everything else in their message"),
        (len(set(called)) != len(called), "two tool calls of a message have the same id"),
    )
    return next((text for broken, text in rules if broken), None)


def _unanswered(call_id: str) -> str:
    return f"tool call '{call_id}' has no result in the message after it"


def repair(messages: Messages) -> Messages:
    """The conversation with the invariant restored; the very same tuple where it held already.

    A result that stands in a later message of the same user turn is moved to where it belongs. Of several
    results, and of several calls with one id, the first counts. Messages that are left empty go.
    """
    return at_once(repairing(messages))


def repairing(messages: Messages) -> Steps[Messages]:
    """`repair` in steps."""
    if (yield from _checking(messages)) is None:
        return messages
    repaired: list[Message] = []
    position = done = 0
    while position < len(messages):
        message = messages[position]
        position += 1
        done += len(message.content)
        if done > IN_A_STEP:
            yield
            done = 0
        if message.role == "user":
            _add(repaired, message, _other(message))
            continue
        kept = _first_calls(message)
        _add(repaired, message, kept)
        calls = [block.id for block in kept if isinstance(block, ToolUseBlock)]
        if not calls:
            continue
        turn = _user_turn(messages, position)
        answers = _answers(calls, turn)
        following = turn[0] if turn else Message(role="user", content=())
        done += len(following.content)
        _add(repaired, following, (*answers, *_other(following)))
        position += min(len(turn), 1)
    return tuple(repaired)


def _add(repaired: list[Message], message: Message, content: tuple[Block, ...]) -> None:
    if content == message.content:
        repaired.append(message)
    elif content:
        repaired.append(Message(role=message.role, content=content, extra=message.extra))


def _user_turn(messages: Sequence[Message], start: int) -> Sequence[Message]:
    """The user messages from ``start`` to the assistant's next."""
    end = start
    while end < len(messages) and messages[end].role == "user":
        end += 1
    return messages[start:end]


def _answers(calls: Sequence[str], turn: Sequence[Message]) -> tuple[ToolResultBlock, ...]:
    found: dict[str, ToolResultBlock] = {}
    called = set(calls)
    for message in turn:
        for result in tool_results(message):
            if result.tool_use_id in called:
                found.setdefault(result.tool_use_id, result)
    missing = [call_id for call_id in calls if call_id not in found]
    return (*found.values(), *(interrupted(call_id) for call_id in missing))


def _other(message: Message) -> tuple[Block, ...]:
    return tuple(block for block in message.content if not isinstance(block, ToolResultBlock | ToolUseBlock))


def _first_calls(message: Message) -> tuple[Block, ...]:
    seen: set[str] = set()
    kept: list[Block] = []
    for block in message.content:
        if isinstance(block, ToolResultBlock):
            continue
        if isinstance(block, ToolUseBlock):
            if block.id in seen:
                continue
            seen.add(block.id)
        kept.append(block)
    return tuple(kept)
