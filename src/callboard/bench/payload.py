"""What is sent: request bodies, made once before the first request and then only repeated."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from callboard.bench.plan import Api
from callboard.errors import ConfigurationError

QUESTION = "Name three rivers of Europe, and say in one sentence each where they begin."
_FILLER = "The river runs to the sea. "


class Payload(Struct, frozen=True, kw_only=True):
    """One request's body.

    Attributes:
        stream: Whether it asks for a stream.
    """

    body: bytes
    stream: bool


def built_in(
    api: Api, *, model: str, stream: bool, prompt_bytes: int = 0, max_tokens: int | None = None
) -> Payload:
    """A short question.

    Args:
        api: Whose request it is.
        model: Whom it asks.
        stream: Whether to ask for a stream; a chat stream is asked for its usage as well.
        prompt_bytes: The prompt is padded up to this length.
        max_tokens: The most tokens to answer with; None says nothing about it.
    """
    padding = prompt_bytes - len(QUESTION)
    prompt = (_FILLER * (padding // len(_FILLER) + 1))[:padding] + QUESTION if padding > 0 else QUESTION
    document: dict[str, object] = {"model": model}
    if api == "chat":
        document["messages"] = [{"role": "user", "content": prompt}]
    else:
        document["input"] = prompt
    if max_tokens is not None:
        document["max_tokens" if api == "chat" else "max_output_tokens"] = max_tokens
    if stream:
        document["stream"] = True
        if api == "chat":
            document["stream_options"] = {"include_usage": True}
    return Payload(body=msgspec.json.encode(document), stream=stream)


def from_file(data: bytes, *, model: str | None, stream: bool | None) -> tuple[Payload, ...]:
    """The payloads of a file: one JSON object, however it is laid out, or one object a line.

    Args:
        data: The file.
        model: Replaces what the payloads say; None leaves it.
        stream: The same.

    Raises:
        ConfigurationError: The file holds something else, or nothing.
    """
    try:
        documents = [msgspec.json.decode(data, type=dict[str, Raw])]
    except msgspec.MsgspecError:
        lines = enumerate(data.splitlines(), 1)
        documents = [_document(line, number) for number, line in lines if line.strip()]
    if not documents:
        raise ConfigurationError("the payload file is empty")
    return tuple(_overridden(document, model, stream) for document in documents)


def _document(line: bytes, number: int) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(line, type=dict[str, Raw])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"the payload file, line {number}: not a JSON object: {error}") from error


def _overridden(document: dict[str, Raw], model: str | None, stream: bool | None) -> Payload:
    if model is not None:
        document["model"] = Raw(msgspec.json.encode(model))
    if stream is not None:
        document["stream"] = Raw(b"true" if stream else b"false")
    if "model" not in document:
        raise ConfigurationError("the payload names no model: give --model")
    if stream is False:
        # "Only set this when you set stream: true": OpenAI refuses the two together.
        document.pop("stream_options", None)
    body = msgspec.json.encode(document)
    return Payload(body=body, stream=bytes(document.get("stream", b"false")) == b"true")
