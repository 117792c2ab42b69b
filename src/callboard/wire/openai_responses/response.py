"""What a turn came to: its items, and the Response object that holds them.

Source: OpenAI API reference, "The response object"; Open Responses specification, 2026-04-24, "Items".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct

from callboard.domain.approval import approval_of
from callboard.domain.arguments import arguments_of
from callboard.domain.block import RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from callboard.domain.fold import LOGPROBS
from callboard.domain.generation import StopReason
from callboard.domain.usage import Usage
from callboard.wire.openai_chat.error import error_fields
from callboard.wire.openai_chat.outgoing import is_refusal
from callboard.wire.openai_responses.phase import phase_of
from callboard.wire.openai_responses.schema import (
    NULL,
    ApprovalRequestOut,
    Echo,
    FunctionCallOut,
    InputTokensDetails,
    ItemOut,
    MessageOut,
    OutputText,
    OutputTokensDetails,
    ReasoningOut,
    RefusalPart,
    ResponseError,
    ResponseUsage,
    Status,
    SummaryText,
)

Shown: TypeAlias = TextBlock | ToolUseBlock | ThinkingBlock | RedactedThinkingBlock
"""The blocks that the dialect has items for; those of `callboard.domain.item.is_shown`."""

PartOut: TypeAlias = OutputText | RefusalPart | SummaryText
IncompleteReason: TypeAlias = Literal["max_output_tokens", "content_filter"]

ResponseStatus: TypeAlias = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

_TOLD_AS_THEY_ARE = frozenset(
    {"rate_limit_exceeded", "insufficient_quota", "context_length_exceeded", "invalid_prompt"}
)
_BY_TYPE = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}

_encode = msgspec.json.Encoder().encode

LOST = ResponseError(
    code="server_error",
    message="The process that made this answer is gone, and the rest of it is lost. What was told stands.",
)
"""Why a response is incomplete whose maker is gone. Official types know two reasons, and this is neither."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a response stands.

    Attributes:
        output: The items that are complete, encoded.
        completed_at: Seconds since the epoch; None for all that are not completed.
    """

    status: ResponseStatus = "in_progress"
    completed_at: int | None = None
    error: ResponseError | None = None
    incomplete_reason: IncompleteReason | None = None
    output: Sequence[bytes] = ()
    usage: Usage | None = None


class ResponseFrame:
    """What stays the same of a Response object from its first event to its last; encoded once."""

    def __init__(self, response_id: str, created_at: int, echo: Echo | Raw) -> None:
        """``created_at`` is in seconds since the epoch; an echo may be encoded already."""
        head = {"id": response_id, "object": "response", "created_at": created_at}
        self._head = _encode(head)[:-1]
        self._echo = _encode(echo)[1:]

    def encode(self, outcome: Outcome) -> bytes:
        """The Response object."""
        reason = outcome.incomplete_reason
        varying = {
            "status": outcome.status,
            "completed_at": outcome.completed_at,
            "error": outcome.error,
            "incomplete_details": None if reason is None else {"reason": reason},
            "output": [Raw(item) for item in outcome.output],
            "usage": None if outcome.usage is None else encode_usage(outcome.usage),
        }
        return b"%b,%b,%b" % (self._head, _encode(varying)[1:-1], self._echo)


def item_of(block: Shown, item_id: str, status: Status) -> ItemOut:
    """A block as an item."""
    match block:
        case TextBlock():
            phase = UNSET if block.extra is None else phase_of(block) or UNSET
            return MessageOut(id=item_id, status=status, content=(_part_of(block),), phase=phase)
        case ToolUseBlock():
            # White space before the object is dropped, as it is from the stream.
            arguments = arguments_of(block).lstrip()
            return FunctionCallOut(
                id=item_id, status=status, call_id=block.id, name=block.name, arguments=arguments
            )
        case ThinkingBlock():
            summary = (SummaryText(text=block.thinking),)
            return ReasoningOut(
                id=item_id, status=status, summary=summary, encrypted_content=block.signature or None
            )
        case RedactedThinkingBlock():
            return ReasoningOut(id=item_id, status=status, summary=(), encrypted_content=block.data)


def approval_request(call: ToolUseBlock) -> ApprovalRequestOut:
    """A call that waits, as an item.

    Raises:
        TypeError: It does not wait.
    """
    approval = approval_of(call)
    if approval is None:
        raise TypeError("the call waits for no approval")
    return ApprovalRequestOut(
        id=approval.id,
        server_label=approval.server,
        name=approval.tool,
        arguments=arguments_of(call).lstrip(),
    )


def part_in(item: ItemOut) -> PartOut | None:
    """The one part of an item; None for an item without."""
    match item:
        case MessageOut():
            return item.content[0]
        case ReasoningOut():
            return item.summary[0] if item.summary else None
        case FunctionCallOut():
            return None


def content_in(item: ItemOut) -> str:
    """What an item says, as its deltas do piece by piece."""
    if isinstance(item, FunctionCallOut):
        return item.arguments
    match part_in(item):
        case None:
            return ""
        case RefusalPart(refusal=text) | OutputText(text=text) | SummaryText(text=text):
            return text


def emptied(item: ItemOut) -> ItemOut:
    """An item before it says anything."""
    match item:
        case MessageOut():
            return msgspec.structs.replace(item, content=())
        case ReasoningOut():
            return msgspec.structs.replace(item, summary=())
        case FunctionCallOut():
            return msgspec.structs.replace(item, arguments="")


def _part_of(block: TextBlock) -> OutputText | RefusalPart:
    if is_refusal(block):
        return RefusalPart(refusal=block.text)
    logprobs = (block.extra or {}).get(LOGPROBS)
    if logprobs is None:
        return OutputText(text=block.text)
    return OutputText(text=block.text, logprobs=on_a_line(logprobs))


def incomplete_reason(stop_reason: StopReason, *, refused: bool) -> IncompleteReason | None:
    """Why a response is incomplete; None where it is not.

    A refusal in words is an answer like any other.
    """
    if stop_reason == "max_tokens":
        return "max_output_tokens"
    return "content_filter" if stop_reason == "refusal" and not refused else None


def encode_usage(usage: Usage) -> ResponseUsage:
    """The dialect's counts: the input whole, its cached part told apart."""
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=usage.cache_read_tokens, cache_write_tokens=usage.cache_write_tokens
        ),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
    )


def response_error(error: BaseException) -> ResponseError:
    """What the dialect says of a failure after the first byte; its codes are a closed set."""
    fields = error_fields(error)
    if fields.code in _TOLD_AS_THEY_ARE:
        return ResponseError(code=fields.code, message=fields.message)
    return ResponseError(code=_BY_TYPE.get(fields.type, "server_error"), message=fields.message)


def on_a_line(raw: Raw) -> Raw:
    """The same JSON without white space, so that it fits on a line of an event stream."""
    return NULL if raw == NULL else Raw(msgspec.json.format(bytes(raw), indent=-1))
