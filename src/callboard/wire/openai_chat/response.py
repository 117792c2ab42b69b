"""Unstreamed answers, both ways, and what both forms of an answer share: usage and the reasons to stop.

Source: OpenAI API reference, "The chat completion object".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import Block, Extra, TextBlock, ThinkingBlock, ToolUseBlock
from callboard.domain.fold import LOGPROBS
from callboard.domain.generation import Generation, StopReason
from callboard.domain.message import text_of
from callboard.domain.steps import at_once
from callboard.domain.usage import Usage
from callboard.errors import RemoteWireError
from callboard.wire.json import DEFAULT_LIMITS, decode, measuring
from callboard.wire.openai_chat.error import stream_error
from callboard.wire.openai_chat.incoming import legacy_tool_use_of, tool_use_of
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE, encode_tool_call, is_refusal
from callboard.wire.openai_chat.schema import (
    MAX_CALLS,
    NULL,
    ChatCompletion,
    Choice,
    CompletionTokensDetails,
    CompletionUsage,
    ContentPiece,
    Logprobs,
    PromptTokensDetails,
    ResponseMessage,
    ToolCall,
)

T = TypeVar("T")

STOP_REASONS: Mapping[str, StopReason] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "max_tokens": "max_tokens",  # early vision models
    "model_length": "max_tokens",  # Mistral
    "content_filter": "refusal",
}
"""A reason that is missing or unknown is ``end_turn``: the answer came to its end, whatever it was called."""

FINISH_REASONS: Mapping[StopReason, str] = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "refusal": "content_filter",
    "pause_turn": "stop",
}

_COMPLETION = msgspec.json.Decoder(ChatCompletion)
_MESSAGE = msgspec.json.Decoder(ResponseMessage)

MAX_CHOICES = 128
"""As many as a request may ask for."""

# An array of at most so many: the decoder stops at the first too many, where one for a sequence would go on.
_CHOICES = msgspec.json.Decoder(
    msgspec.defstruct(
        "Choices",
        [(f"choice_{number}", Choice | None, None) for number in range(MAX_CHOICES)],
        array_like=True,
        forbid_unknown_fields=True,
    )
)


class _Usage(Struct):
    usage: CompletionUsage | None = None


_USAGE = msgspec.json.Decoder(_Usage)


def decode_response(body: bytes) -> Generation:
    """The answer an upstream sent; of several choices the first.

    Raises:
        RemoteWireError: It breaks JSON or the dialect, or holds no choice.
        UpstreamError: It is an error that came with a status of success.
    """
    return decode(body, _decode_response, side="remote")


def decode_usage(body: bytes) -> Usage | None:
    """What an unstreamed answer says it consumed; None where it does not, or cannot be read."""
    try:
        wire = _USAGE.decode(body).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if wire is None else usage_of(wire)


def decode_tool_call(call: Struct) -> ToolUseBlock:
    """An entry of ``tool_calls``; arguments that are no JSON object are kept, marked.

    Raises:
        TypeError: ``call`` is a struct of another dialect.
    """
    if not isinstance(call, ToolCall):
        raise TypeError(f"expected a ToolCall, got {type(call).__name__}")
    return tool_use_of(call)


def encode_response(
    generation: Generation,
    *,
    id: str,  # noqa: A002 - the dialect's name for it
    model: str,
    created: int,
) -> bytes:
    """The answer for a client; ``created`` in seconds since the epoch."""
    extra = generation.extra or {}
    message, logprobs = _message(generation.content)
    refused = message["refusal"] is not None
    stopped = "stop" if refused else FINISH_REASONS[generation.stop_reason]
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": stopped}
    document: dict[str, object] = {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "system_fingerprint": extra.get("system_fingerprint"),
    }
    if generation.usage is not None:
        document["usage"] = encode_usage(generation.usage)
    if "service_tier" in extra:
        document["service_tier"] = extra["service_tier"]
    return msgspec.json.encode(document)


def usage_of(wire: CompletionUsage) -> Usage:
    """Disjoint counts: what the dialect counts within the prompt is taken out of it."""
    prompt = wire.prompt_tokens_details or PromptTokensDetails()
    completion = wire.completion_tokens_details or CompletionTokensDetails()
    cached, written = prompt.cached_tokens or 0, prompt.cache_write_tokens or 0
    return Usage(
        input_tokens=max(0, (wire.prompt_tokens or 0) - cached - written),
        output_tokens=wire.completion_tokens or 0,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=completion.reasoning_tokens or 0,
    )


def encode_usage(usage: Usage) -> CompletionUsage:
    """The dialect's counts: the prompt whole, its cached part told apart."""
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=usage.cache_read_tokens, cache_write_tokens=usage.cache_write_tokens
        ),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=usage.reasoning_tokens),
    )


def stop_reason_of(finish_reason: str | None, *, called: bool, refused: bool) -> StopReason:
    """Why the model stopped. Some servers say ``stop`` although it called tools, so the calls decide."""
    reason = STOP_REASONS.get(finish_reason or "", "end_turn")
    if reason != "end_turn":
        return reason
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def extra_of(system_fingerprint: str | None, service_tier: str | None) -> Extra | None:
    """What an answer says of its making, to be told to the client again."""
    told = {"system_fingerprint": system_fingerprint, "service_tier": service_tier}
    return {name: Raw(msgspec.json.encode(value)) for name, value in told.items() if value} or None


def text_content(content: str | tuple[ContentPiece, ...] | None) -> str:
    """Content as text; some servers send it in pieces."""
    if isinstance(content, str):
        return content
    return "".join([piece.text for piece in few(content or (), "pieces of content")])


def few(parts: Sequence[T], what: str) -> Sequence[T]:
    """``parts`` themselves.

    Raises:
        RemoteWireError: There are more of them than any model's answer has.
    """
    if len(parts) > MAX_CALLS:
        raise RemoteWireError(f"the upstream's answer holds more than {MAX_CALLS} {what}")
    return parts


def _decode_response(body: bytes | Raw) -> Generation:
    wire = _COMPLETION.decode(body)
    choices = _decode_choices(wire.choices)
    if not choices:
        if wire.error != NULL:
            raise stream_error(bytes(wire.error))
        raise RemoteWireError("the upstream's answer holds no choice")
    choice = min(choices, key=lambda one: one.index or 0)
    message = _decode_message(choice.message)
    content = _content(message, choice.logprobs or Logprobs(), wire.id or "")
    finish = choice.finish_reason
    if finish is None and choice.finish_details is not None:
        finish = choice.finish_details.type
    return Generation(
        id=wire.id or "",
        model=wire.model or "",
        content=content,
        stop_reason=stop_reason_of(
            finish,
            called=any(isinstance(block, ToolUseBlock) for block in content),
            refused=bool(message.refusal),
        ),
        usage=None if wire.usage is None else usage_of(wire.usage),
        extra=extra_of(wire.system_fingerprint, wire.service_tier),
    )


def _decode_choices(raw: Raw) -> list[Choice]:
    if raw == NULL:
        return []
    found = decode(raw, _CHOICES.decode, side="remote", at="choices")
    return list(takewhile(lambda each: isinstance(each, Choice), msgspec.structs.astuple(found)))


def _decode_message(raw: Raw) -> ResponseMessage:
    """The message, once it is known to hold no more values than a request may."""
    body = bytes(raw)
    if len(body) > 2 * DEFAULT_LIMITS.max_nodes:
        at_once(measuring(body, side="remote", limits=DEFAULT_LIMITS))
    return decode(body, _MESSAGE.decode, side="remote", at="choices.message")


def _content(message: ResponseMessage, logprobs: Logprobs, generation_id: str) -> tuple[Block, ...]:
    blocks: list[Block] = []
    thinking = message.reasoning_content or message.reasoning
    if thinking:
        blocks.append(ThinkingBlock(thinking=thinking))
    text = text_content(message.content)
    if text:
        blocks.append(TextBlock(text=text, extra=_text_extra(logprobs.content)))
    if message.refusal:
        extra = {REFUSAL: TRUE, **(_text_extra(logprobs.refusal) or {})}
        blocks.append(TextBlock(text=message.refusal, extra=extra))
    seen: set[str] = set()
    for call in few(message.tool_calls or (), "tool calls"):
        call_id = unique_id(call.id, seen, generation_id)
        blocks.append(msgspec.structs.replace(tool_use_of(call), id=call_id))
    if message.function_call is not None:
        blocks.append(legacy_tool_use_of(message.function_call, unique_id(None, seen, generation_id)))
    return tuple(blocks)


def unique_id(call_id: str | None, seen: set[str], generation_id: str) -> str:
    """The id of the next call: its own, or one made of its place where it has none or one that is taken."""
    chosen = call_id or ""
    ordinal = len(seen)
    while not chosen or chosen in seen:
        chosen = f"call_{generation_id}_{ordinal}"
        ordinal += 1
    seen.add(chosen)
    return chosen


def _text_extra(logprobs: Raw) -> Extra | None:
    return None if logprobs == NULL else {LOGPROBS: logprobs.copy()}


def _message(content: tuple[Block, ...]) -> tuple[dict[str, object], dict[str, object] | None]:
    """The message of an answer and the log probabilities beside it."""
    texts = [block for block in content if isinstance(block, TextBlock) and not is_refusal(block)]
    refusals = [block for block in content if isinstance(block, TextBlock) and is_refusal(block)]
    calls = [encode_tool_call(block) for block in content if isinstance(block, ToolUseBlock)]
    thinking = "".join(block.thinking for block in content if isinstance(block, ThinkingBlock))
    message: dict[str, object] = {
        "role": "assistant",
        "content": text_of(tuple(texts)) if texts else None,
        "refusal": text_of(tuple(refusals)) if refusals else None,
        "annotations": [],
    }
    if thinking:
        message["reasoning_content"] = thinking
    if calls:
        message["tool_calls"] = calls
    logprobs: dict[str, object] = {
        "content": _first_logprobs(texts),
        "refusal": _first_logprobs(refusals),
    }
    return message, logprobs if any(value is not None for value in logprobs.values()) else None


def _first_logprobs(blocks: list[TextBlock]) -> Raw | None:
    found = [block.extra[LOGPROBS] for block in blocks if block.extra and LOGPROBS in block.extra]
    return found[0] if found else None
