"""Tool arguments: the text a model wrote, and the object it should be.

A model writes text. Mostly it is a JSON object, sometimes it is not; what it wrote is never lost and never
passed off as something else.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from callboard.domain.block import ToolUseBlock

INVALID_ARGUMENTS = "invalid_arguments"
"""Key in a tool call's ``extra`` that holds, as a JSON string, arguments that were no JSON object."""

EMPTY_INPUT = Raw(b"{}")

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str)


def tool_use(call_id: str, name: str, arguments: str) -> ToolUseBlock:
    """The call with the arguments a model wrote; no text at all is an empty object."""
    written = arguments.encode("utf-8", "replace")
    if not written or written.isspace():
        return ToolUseBlock(id=call_id, name=name, input=EMPTY_INPUT)
    if is_object(written):
        return ToolUseBlock(id=call_id, name=name, input=Raw(written))
    kept = {INVALID_ARGUMENTS: Raw(msgspec.json.encode(written.decode()))}
    return ToolUseBlock(id=call_id, name=name, input=EMPTY_INPUT, extra=kept)


def arguments_of(call: ToolUseBlock) -> str:
    """The arguments as the model wrote them."""
    invalid = (call.extra or {}).get(INVALID_ARGUMENTS)
    return bytes(call.input).decode() if invalid is None else _TEXT.decode(invalid)


def is_object(text: bytes) -> bool:
    """Whether ``text`` is one whole JSON object."""
    try:
        _OBJECT.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
