"""What a client said in the Responses dialect beside what every dialect has, in this one's words.

Source: OpenAI guide "Migrate to the Responses API"; OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import Extra
from callboard.wire.json import decode

RESPONSES = "openai_responses"
"""The dialect's name; its own modules build on this one's."""

_ALIKE = frozenset(
    {
        "frequency_penalty",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
    }
)
"""Fields that mean the same in both. Metadata does not: there it is what the answer is stored with."""

_LOGPROBS = "message.output_text.logprobs"


class _Text(Struct, frozen=True):
    verbosity: Literal["low", "medium", "high"] | None = None


class _Said(Struct, frozen=True):
    text: _Text | None = None
    include: tuple[str, ...] | None = None
    top_logprobs: int | None = None


_SAID = msgspec.json.Decoder(_Said)


def in_chat(extra: Extra) -> dict[str, Raw]:
    """The fields of a chat completion request that say what ``extra`` says.

    Raises:
        LocalWireError: One of them breaks its own dialect.
    """
    told = {name: value for name, value in extra.items() if name in _ALIKE}
    known = {name: value for name, value in extra.items() if name in _Said.__struct_fields__}
    if not known:
        return told
    said = decode(msgspec.json.encode(known), _SAID.decode, side="local")
    if said.text is not None and said.text.verbosity is not None:
        told["verbosity"] = Raw(msgspec.json.encode(said.text.verbosity))
    if _LOGPROBS in (said.include or ()):
        told["logprobs"] = Raw(b"true")
        if said.top_logprobs:
            told["top_logprobs"] = Raw(msgspec.json.encode(said.top_logprobs))
    return told
