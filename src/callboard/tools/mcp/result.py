"""What a server answers to a call becomes blocks of ours, for any model.

Text, images and text resources are what they are. A PDF is a document. Audio is kept in the form in which
OpenAI's dialects carry it to models that hear; every other binary, and every link, is told in words, because
no model could do anything with it. Structured content is the same thing as the text beside it
(the specification asks for that), so it is shown where there is no text.

Source: Model Context Protocol 2025-11-25, server/tools, "Tool Result".
"""

from __future__ import annotations

import mcp_types
import msgspec
from msgspec import Raw

from callboard.domain.block import (
    Base64Source,
    DocumentBlock,
    ImageBlock,
    OpaqueBlock,
    ResultContent,
    TextBlock,
    TextSource,
)
from callboard.domain.tools import ToolOutcome

NO_OUTPUT = "[tool call successful, but no output]"
FAILED_SILENTLY = "[tool call failed, and did not say why]"
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models take for images."""

AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
"""What models that hear take, and what OpenAI calls it."""


def outcome_of(result: mcp_types.CallToolResult) -> ToolOutcome:
    """The outcome of a call that was answered."""
    content = [_block(each) for each in result.content]
    texts = [each.text for each in content if isinstance(each, TextBlock)]
    if result.structured_content is not None and not "".join(texts).strip():
        content.append(TextBlock(text=msgspec.json.encode(result.structured_content).decode()))
    content = [each for each in content if not isinstance(each, TextBlock) or each.text.strip()]
    if not content:
        content = [TextBlock(text=FAILED_SILENTLY if result.is_error else NO_OUTPUT)]
    return ToolOutcome(content=tuple(content), is_error=result.is_error)


def _block(content: mcp_types.ContentBlock) -> ResultContent:
    match content:
        case mcp_types.TextContent():
            return TextBlock(text=_encodable(content.text))
        case mcp_types.ImageContent():
            return _binary(content.mime_type, content.data, "image")
        case mcp_types.AudioContent():
            return _binary(content.mime_type, content.data, "audio")
        case mcp_types.EmbeddedResource():
            return _resource(content.resource)
        case mcp_types.ResourceLink():
            about = f": {content.description}" if content.description else ""
            return TextBlock(text=_encodable(f"[resource {content.name}, {content.uri}{about}]"))


def _resource(resource: mcp_types.TextResourceContents | mcp_types.BlobResourceContents) -> ResultContent:
    title = _encodable(str(resource.uri))
    if isinstance(resource, mcp_types.TextResourceContents):
        return DocumentBlock(source=TextSource(data=_encodable(resource.text)), title=title)
    return _binary(resource.mime_type or "application/octet-stream", resource.blob, "resource", title)


def _binary(media_type: str, data: str, what: str, title: str | None = None) -> ResultContent:
    kind = media_type.partition(";")[0].strip().lower()
    if not data.isascii():
        return TextBlock(text=f"[{what} that cannot be read]")
    if kind in IMAGES:
        return ImageBlock(source=Base64Source(media_type=kind, data=data))
    if kind == "application/pdf":
        return DocumentBlock(source=Base64Source(media_type=kind, data=data), title=title)
    if kind in AUDIO:
        part = {"type": "input_audio", "input_audio": {"data": data, "format": AUDIO[kind]}}
        return OpaqueBlock(type="input_audio", raw=Raw(msgspec.json.encode(part)))
    named = f" {title}" if title else ""
    return TextBlock(text=f"[{what}{named} of type {_encodable(kind)[:100]}, {len(data) * 3 // 4} bytes]")


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
