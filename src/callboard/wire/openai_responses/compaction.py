"""A conversation made short: a summary by the model, and the item that carries it.

The item's content is for us alone to read, and it is not secret: it is text in JSON in base64, with a version
in front. It holds nothing that its holder has not said or been told, so there is nothing to hide from him. It
is not authenticated either: whoever forges one can only put words into his own mouth, as the summary comes
back as something that the user says, never as an instruction.

Source: Open Responses specification, 2026-04-24, "Compact a response".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import text_of, user_text
from callboard.domain.tools import ToolChoice
from callboard.domain.usage import Usage
from callboard.errors import StreamIncomplete
from callboard.wire.openai_responses.response import encode_usage
from callboard.wire.openai_responses.schema import ResponseUsage

REQUEST = (
    "Summarise our conversation so far, so that it can go on from your summary alone. Keep every fact, name, "
    "number, decision, file and open question that may still matter, what I asked for, what was done about "
    "it, and what is to be done next. Write the summary and nothing else."
)
"""What the model is asked, behind the conversation."""

FOREWORD = "Summary of the conversation so far:\n\n"

_VERSION = "callboard1."
_PASSED_ON = frozenset({"prompt_cache_key", "safety_identifier", "service_tier"})


class _Content(Struct, frozen=True, kw_only=True):
    summary: str


class _Item(Struct, frozen=True, kw_only=True, tag_field="type", tag="compaction"):
    id: str
    encrypted_content: str


class _Compacted(Struct, frozen=True, kw_only=True):
    id: str
    created_at: int
    output: Sequence[_Item]
    usage: ResponseUsage
    object: str = "response.compaction"


_CONTENT = msgspec.json.Decoder(_Content)


def summarising(request: GenerationRequest) -> GenerationRequest:
    """The request for a summary of the conversation that ``request`` is of. No tools are on offer."""
    extra = {name: value for name, value in (request.extra or {}).items() if name in _PASSED_ON}
    return GenerationRequest(
        model=request.model,
        system=request.system,
        messages=(*request.messages, user_text(REQUEST)),
        tool_choice=ToolChoice(mode="none"),
        user=request.user,
        dialect=request.dialect,
        extra=extra or None,
    )


def encode_compacted(generation: Generation, *, response_id: str, created_at: int) -> bytes:
    """What the client is given of the model's summary.

    Args:
        generation: What `summarising` came to.
        response_id: Names the compaction.
        created_at: Seconds since the epoch.

    Raises:
        StreamIncomplete: The summary is cut short, or there is none: too little to go on from.
    """
    summary = text_of(generation.content).strip()
    if generation.stop_reason in {"max_tokens", "refusal"} or not summary:
        raise StreamIncomplete("the model did not give a whole summary of the conversation")
    item = _Item(id=f"cmp_{response_id.removeprefix('resp_')}", encrypted_content=content_of(summary))
    usage = encode_usage(generation.usage or Usage())
    return msgspec.json.encode(_Compacted(id=response_id, created_at=created_at, output=(item,), usage=usage))


def content_of(summary: str) -> str:
    """A summary as the content of its item."""
    return _VERSION + base64.urlsafe_b64encode(msgspec.json.encode(_Content(summary=summary))).decode()


def summary_in(content: str) -> str | None:
    """What the user says in the place of an item; None where the content is not ours."""
    if not content.startswith(_VERSION):
        return None
    try:
        read = _CONTENT.decode(base64.urlsafe_b64decode(content.removeprefix(_VERSION)))
    except (binascii.Error, ValueError):
        return None
    return FOREWORD + read.summary
