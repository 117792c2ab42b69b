"""The blocks a message is made of: Anthropic's content blocks, which every other dialect fits into.

Each known block is a struct tagged by ``type``; a type we do not know becomes an `OpaqueBlock` that keeps its
JSON. Fields we do not know, and what other dialects need to come back unchanged (item ids, ``detail`` of an
image, raw arguments that were no JSON), ride in ``extra``: one optional mapping of field name to JSON.

What a conversation is made of is frozen and refers to nothing that could refer back. So it is kept from the
garbage collector (``gc=False``), which would look through a long conversation for cycles again and again, and
stop everything meanwhile.

Source: Anthropic Messages API, content blocks (2023-06-01 version of the API).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Raw, Struct

Extra: TypeAlias = Mapping[str, Raw]


class Base64Source(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="base64"):
    """Bytes carried in the conversation, base64-encoded, with their media type."""

    media_type: str
    data: str


class UrlSource(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="url"):
    """Bytes that the provider fetches."""

    url: str


class FileSource(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="file"):
    """Bytes that were uploaded to the provider before."""

    file_id: str


class TextSource(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="text"):
    """A plain-text document."""

    data: str
    media_type: str = "text/plain"


ImageSource: TypeAlias = Base64Source | UrlSource | FileSource
DocumentSource: TypeAlias = Base64Source | UrlSource | FileSource | TextSource


class TextBlock(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="text"):
    """Text. A model's refusal is text too, marked ``extra={"refusal": true}``."""

    text: str
    extra: Extra | None = None


class ImageBlock(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="image"):
    """An image."""

    source: ImageSource
    extra: Extra | None = None


class DocumentBlock(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="document"):
    """A document, e.g. a PDF."""

    source: DocumentSource
    title: str | None = None
    extra: Extra | None = None


class ToolUseBlock(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="tool_use"):
    """The model calls a tool.

    Attributes:
        input: The arguments, a JSON object exactly as the model wrote it. Where the model wrote something
            else, ``{}``, with the text it wrote under ``extra["invalid_arguments"]`` as a JSON string.
    """

    id: str
    name: str
    input: Raw
    extra: Extra | None = None


class ThinkingBlock(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="thinking"):
    """Reasoning in the open; the signature lets its provider trust it when it comes back."""

    thinking: str
    signature: str = ""
    extra: Extra | None = None


class RedactedThinkingBlock(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="redacted_thinking"
):
    """Reasoning that only its provider can read."""

    data: str
    extra: Extra | None = None


class OpaqueBlock(Struct, frozen=True, kw_only=True, gc=False):
    """A block of a type this version does not know, kept as it came.

    Attributes:
        type: Its tag.
        raw: The whole block's JSON, tag included.
    """

    type: str
    raw: Raw


ResultContent: TypeAlias = TextBlock | ImageBlock | DocumentBlock | OpaqueBlock


class ToolResultBlock(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="tool_result"):
    """What a tool call came to; always in the message that follows the call."""

    tool_use_id: str
    content: tuple[ResultContent, ...] = ()
    is_error: bool = False
    extra: Extra | None = None


Block: TypeAlias = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | ToolUseBlock
    | ToolResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | OpaqueBlock
)
