"""The domain's messages in the dialect: what an upstream is sent.

- A message with tool results becomes one ``tool`` message for each, adjacent and in order, and then one user
  message with everything else: what the results hold beside text, labelled, and what the user said.
- A result that is an error says so in its text, as the dialect has no field for it.
- Thinking is another provider's, and blocks we do not know are another dialect's: both are left out, and a
  message that has nothing else is too.
- Of ``extra``, only fields that the dialect has are sent: a participant's name, an image's detail, a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from callboard.domain.arguments import arguments_of
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    Extra,
    FileSource,
    ImageBlock,
    OpaqueBlock,
    ResultContent,
    TextBlock,
    TextSource,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from callboard.domain.message import Message, tool_results, tool_uses
from callboard.domain.model import ModelTraits
from callboard.domain.steps import IN_A_STEP, Steps, at_once
from callboard.wire.openai_chat.schema import (
    AssistantMessage,
    AudioPart,
    DeveloperMessage,
    FileFields,
    FilePart,
    FunctionCall,
    ImagePart,
    ImageUrl,
    Part,
    RefusalPart,
    RequestMessage,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    VideoPart,
)

REFUSAL = "refusal"
"""Key in a text block's ``extra`` that marks a refusal."""

TRUE = Raw(b"true")

ATTACHED = re.compile(r"\[([0-9]{1,4}) attached to tool result (.+)\]")
"""The label in front of what a tool result holds beside text."""

_OPAQUE: msgspec.json.Decoder[AudioPart | VideoPart] = msgspec.json.Decoder(AudioPart | VideoPart)
_NAME = msgspec.json.Decoder(str)


def system_messages(system: Sequence[TextBlock], traits: ModelTraits) -> tuple[RequestMessage, ...]:
    """Instructions, one message for each block, in the role the model wants them in."""
    if traits.reasoning:
        return tuple(DeveloperMessage(content=block.text) for block in system)
    return tuple(SystemMessage(content=block.text) for block in system)


def encode_messages(messages: Sequence[Message]) -> tuple[RequestMessage, ...]:
    """The conversation; ``messages`` are not changed."""
    return at_once(encoding_messages(messages))


def encoding_messages(messages: Sequence[Message]) -> Steps[tuple[RequestMessage, ...]]:
    """`encode_messages` in steps."""
    encoded: list[RequestMessage] = []
    done = 0
    for message in messages:
        done += len(message.content)
        if done > IN_A_STEP:
            yield
            done = 0
        if message.role == "assistant":
            encoded += _assistant(message)
        else:
            encoded += yield from _user(message)
    if max(done, len(encoded)) > IN_A_STEP:
        yield
    return tuple(encoded)


def is_refusal(block: TextBlock) -> bool:
    """Whether the text is a refusal."""
    return block.extra is not None and block.extra.get(REFUSAL) == TRUE


def encode_tool_call(call: ToolUseBlock) -> ToolCall:
    """A call, its arguments as the model wrote them."""
    arguments = Raw(msgspec.json.encode(arguments_of(call)))
    return ToolCall(id=call.id, function=FunctionCall(name=call.name, arguments=arguments))


def _assistant(message: Message) -> tuple[RequestMessage, ...]:
    match message.content:
        case (TextBlock(text=text, extra=None),):
            return (AssistantMessage(content=text, name=_name(message.extra)),)
    texts = [block for block in message.content if isinstance(block, TextBlock)]
    parts: list[Part] = [
        RefusalPart(refusal=block.text) if is_refusal(block) else TextPart(text=block.text) for block in texts
    ]
    calls = tuple(encode_tool_call(call) for call in tool_uses(message))
    if not parts and not calls:
        return ()
    refusal, content = None, None
    match parts:
        case []:
            pass
        case [RefusalPart() as only]:
            refusal = only.refusal
        case _:
            content = _shortest(parts)
    return (
        AssistantMessage(
            content=content, refusal=refusal, name=_name(message.extra), tool_calls=calls or None
        ),
    )


def _user(message: Message) -> Steps[tuple[RequestMessage, ...]]:
    match message.content:
        case (TextBlock(text=text),):  # nearly all
            return (UserMessage(content=text, name=_name(message.extra)),)
    results = tool_results(message)
    answers = tuple(_tool_message(result) for result in results)
    parts: list[Part] = []
    for result in results:
        attached = _parts(block for block in result.content if not isinstance(block, TextBlock))
        if attached:
            label = f"[{len(attached)} attached to tool result {result.tool_use_id}]"
            parts += (TextPart(text=label), *attached)
    for at, block in enumerate(message.content):
        if at % IN_A_STEP == IN_A_STEP - 1:
            yield
        part = None if isinstance(block, ToolResultBlock) else _part(block)
        if part is not None:
            parts.append(part)
    if not parts:
        return answers
    return (*answers, UserMessage(content=_shortest(parts), name=_name(message.extra)))


def result_texts(result: ToolResultBlock) -> list[str]:
    """What a result says in words; one that is an error says so."""
    texts = [block.text for block in result.content if isinstance(block, TextBlock)]
    if result.is_error and not "".join(texts).lower().startswith("error"):
        return [f"Error: {texts[0]}", *texts[1:]] if texts else ["Error"]
    return texts


def _tool_message(result: ToolResultBlock) -> ToolMessage:
    texts = result_texts(result)
    content = tuple(TextPart(text=text) for text in texts)
    match texts:
        case []:
            return ToolMessage(tool_call_id=result.tool_use_id, content="")
        case [text]:
            return ToolMessage(tool_call_id=result.tool_use_id, content=text)
        case _:
            return ToolMessage(tool_call_id=result.tool_use_id, content=content)


def _shortest(parts: Sequence[Part]) -> str | tuple[Part, ...]:
    """A single text is sent as a string, which every compatible server understands."""
    match parts:
        case [TextPart() as only]:
            return only.text
        case _:
            return tuple(parts)


def _parts(blocks: Iterable[ResultContent]) -> list[Part]:
    return [part for block in blocks if (part := _part(block)) is not None]


def _part(block: Block | ResultContent) -> Part | None:
    match block:
        case TextBlock():
            return TextPart(text=block.text)
        case ImageBlock():
            return _image(block)
        case DocumentBlock():
            return _document(block)
        case OpaqueBlock() if block.type in {"input_audio", "video_url"}:
            return _OPAQUE.decode(block.raw)
        case _:
            return None


def _image(block: ImageBlock) -> Part:
    detail = _string(block.extra, "detail")
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            return ImagePart(image_url=ImageUrl(url=f"data:{media_type};base64,{data}", detail=detail))
        case UrlSource(url=url):
            return ImagePart(image_url=ImageUrl(url=url, detail=detail))
        case FileSource(file_id=file_id):
            return FilePart(file=FileFields(file_id=file_id))


def _document(block: DocumentBlock) -> Part:
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            url = f"data:{media_type};base64,{data}"
            return FilePart(file=FileFields(file_data=url, filename=block.title))
        case FileSource(file_id=file_id):
            return FilePart(file=FileFields(file_id=file_id, filename=block.title))
        case TextSource(data=data):
            return TextPart(text=f"{block.title}\n\n{data}" if block.title else data)
        case UrlSource(url=url):
            # The dialect cannot point at documents, so the model is told of it.
            return TextPart(text=f"[document {block.title or ''}: {url}]")


def _name(extra: Extra | None) -> str | None:
    return _string(extra, "name")


def _string(extra: Extra | None, key: str) -> str | None:
    value = None if extra is None else extra.get(key)
    return _NAME.decode(value) if value is not None and bytes(value).startswith(b'"') else None
