"""Hypothesis strategies for blocks, conversations and generations."""

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.arguments import tool_use
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from callboard.domain.generation import Generation
from callboard.domain.message import Message
from callboard.domain.usage import Usage

words = st.text(max_size=12)
some_words = st.text(min_size=1, max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)
raws = values.map(lambda value: Raw(msgspec.json.encode(value)))
extras = st.none() | st.dictionaries(st.sampled_from(["cache_control", "x_note", "detail"]), raws, min_size=1)

sources = st.builds(
    Base64Source, media_type=st.sampled_from(["image/png", "image/jpeg"]), data=st.just("aGk=")
) | st.builds(UrlSource, url=st.just("https://example.org/a.png"))
texts = st.builds(TextBlock, text=words, extra=extras)
images = st.builds(ImageBlock, source=sources, extra=extras)
documents = st.builds(DocumentBlock, source=sources, title=st.none() | words, extra=extras)
opaque = raws.map(
    lambda raw: OpaqueBlock(
        type="from_the_future", raw=Raw(b'{"type":"from_the_future","payload":%b}' % bytes(raw))
    )
)
inputs = st.dictionaries(words, values, max_size=3).map(lambda value: msgspec.json.encode(value).decode())
calls = st.builds(tool_use, st.uuids().map(lambda uuid: f"call_{uuid.hex[:8]}"), some_words, inputs | words)
results = st.builds(
    ToolResultBlock,
    tool_use_id=st.sampled_from(["call_a", "call_b"]),
    content=st.lists(texts | images | documents | opaque, max_size=3).map(tuple),
    is_error=st.booleans(),
    extra=extras,
)
thoughts = st.builds(ThinkingBlock, thinking=words, signature=words, extra=extras)
blocks: st.SearchStrategy[Block] = st.one_of(
    texts, images, documents, calls, results, thoughts, st.builds(RedactedThinkingBlock, data=words), opaque
)
messages = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant"]),
    content=st.lists(blocks, max_size=4).map(tuple),
    extra=st.none() | st.fixed_dictionaries({"name": raws}),
)

counts = st.integers(0, 10**6)
usages = st.none() | st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    cache_read_tokens=counts,
    cache_write_tokens=counts,
    reasoning_tokens=counts,
)


def _with_new_ids(content: Sequence[Block]) -> tuple[Block, ...]:
    return tuple(
        msgspec.structs.replace(block, id=f"call_{at}") if isinstance(block, ToolUseBlock) else block
        for at, block in enumerate(content)
    )


generations = st.builds(
    Generation,
    id=words,
    model=words,
    content=st.lists(st.one_of(texts, calls, thoughts), max_size=5).map(_with_new_ids),
    stop_reason=st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal"]),
    usage=usages,
    extra=st.none(),
)
