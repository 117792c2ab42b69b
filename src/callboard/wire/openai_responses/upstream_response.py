"""What a Response object says beside its output: why it ended, what it consumed, what went wrong.

Source: OpenAI API reference, "The response object"; Open Responses specification, 2026-04-24.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from callboard import errors
from callboard.domain.arguments import tool_use
from callboard.domain.block import ToolUseBlock
from callboard.domain.generation import StopReason
from callboard.domain.usage import Usage
from callboard.errors import UpstreamError, UpstreamServerError
from callboard.wire.openai_chat.error import stream_error
from callboard.wire.openai_chat.incoming import arguments_text
from callboard.wire.openai_responses.schema import NULL
from callboard.wire.openai_responses.upstream_schema import (
    CallIn,
    InputDetailsIn,
    OutputDetailsIn,
    ResponseIn,
    UsageIn,
)

_BY_CODE: Mapping[str, type[UpstreamError]] = {
    "server_is_overloaded": errors.UpstreamOverloaded,
    "slow_down": errors.UpstreamOverloaded,
    "vector_store_timeout": errors.UpstreamTimeout,
    **dict.fromkeys(
        (
            "invalid_prompt",
            "invalid_image",
            "invalid_image_format",
            "invalid_image_mode",
            "invalid_image_url",
            "invalid_base64_image",
            "image_too_large",
            "image_too_small",
            "image_parse_error",
            "image_content_policy_violation",
            "image_file_too_large",
            "image_file_not_found",
            "unsupported_image_media_type",
            "empty_image_file",
            "failed_to_download_image",
        ),
        errors.UpstreamInvalid,
    ),
}
"""The dialect's own codes, which come without a type or a status that would say the same."""


def stop_reason_of(response: ResponseIn, status: str, *, called: bool, refused: bool) -> StopReason:
    """Why the model stopped; an answer that is incomplete for an unknown reason was cut short."""
    if status == "incomplete":
        details = response.incomplete_details
        return "refusal" if details is not None and details.reason == "content_filter" else "max_tokens"
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def usage_of(wire: UsageIn) -> Usage:
    """Disjoint counts: what the dialect counts within the input is taken out of it."""
    read = wire.input_tokens_details or InputDetailsIn()
    wrote = wire.output_tokens_details or OutputDetailsIn()
    cached, written = read.cached_tokens or 0, read.cache_write_tokens or 0
    return Usage(
        input_tokens=max(0, (wire.input_tokens or 0) - cached - written),
        output_tokens=wire.output_tokens or 0,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=wrote.reasoning_tokens or 0,
    )


def failure_of(error: Raw) -> UpstreamError:
    """The error that a response failed with, or that an event tells of."""
    if error == NULL:
        return UpstreamServerError("the upstream says that its answer failed, and not why")
    found = stream_error(bytes(error))
    kind = _BY_CODE.get(found.upstream_code or "")
    if kind is None:
        return found
    return kind(str(found), upstream_code=found.upstream_code, body=found.body)


def decode_call(call: Struct) -> ToolUseBlock:
    """A ``function_call`` item; arguments that are no JSON object are kept, marked.

    Raises:
        TypeError: ``call`` is a struct of another kind.
    """
    if not isinstance(call, CallIn):
        raise TypeError(f"expected a CallIn, got {type(call).__name__}")
    return tool_use(call.call_id or "", call.name or "", arguments_text(call.arguments))


def service_tier(response: ResponseIn) -> dict[str, Raw] | None:
    """How the answer was served, to be told to the client again."""
    tier = response.service_tier
    return {"service_tier": Raw(msgspec.json.encode(tier))} if tier else None
