"""Answers of an OpenAI chat upstream as values: what `tests.fakes.upstream` sends, and how to make it.

A part of an answer is bytes with the tokens they cost, or a `Gate` that holds the answer until the test opens
it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import anyio

Ending = Literal["complete", "fin", "rst", "stall"]
Json = dict[str, object]

PROMPT_TOKENS = 7


class Gate:
    """Holds an answer at a point. The test awaits ``reached`` and sets ``opened``."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.opened = anyio.Event()


@dataclass(frozen=True)
class Part:
    """Bytes of a body, and the completion tokens that producing them costs."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True)
class Answer:
    """What one request gets.

    Attributes:
        parts: Sent one after the other; ``chunked`` sends each as a chunk of its own.
        chunked: Otherwise the answer carries a content length.
        prompt_tokens: Charged when the answer begins.
        cut_after: Body bytes (not counting chunk framing) after which ``ending`` happens; None: all of them.
        ending: ``complete`` ends the body properly; ``fin`` and ``rst`` close; ``stall`` sends no more.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part | Gate, ...] = ()
    chunked: bool = True
    prompt_tokens: int = 0
    cut_after: int | None = None
    ending: Ending = "complete"


def json_answer(document: object, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """An unstreamed JSON answer."""
    return Answer(
        status=status,
        headers=(("content-type", "application/json"), *headers),
        parts=(Part(json.dumps(document).encode()),),
        chunked=False,
    )


def failure(
    status: int,
    *,
    message: str = "the fake was told to fail",
    kind: str | None = None,
    code: str | None = None,
    retry_after: str | None = None,
) -> Answer:
    """An error in OpenAI's shape."""
    headers = [("retry-after", retry_after)] if retry_after is not None else []
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return json_answer(body, status=status, headers=headers)


def completion(text: str | None, *, finish_reason: str = "stop", **message: object) -> Json:
    """The document of an unstreamed chat completion; one completion token per word."""
    tokens = len((text or "").split())
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "fake-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": usage(tokens),
    }


def usage(completion_tokens: int) -> Json:
    """OpenAI's usage object for a prompt of `PROMPT_TOKENS`."""
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS + completion_tokens,
    }


def chat(text: str, *, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """An unstreamed answer of ``text``, billed."""
    answer = json_answer(completion(text), headers=headers)
    part = Part(json.dumps(completion(text)).encode(), tokens=len(text.split()))
    return Answer(headers=answer.headers, parts=(part,), chunked=False, prompt_tokens=PROMPT_TOKENS)


def sse(document: object) -> bytes:
    """One server-sent event that carries ``document``."""
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def chunk(delta: object, *, finish_reason: str | None = None, model: str = "fake-1") -> Json:
    """The document of one ``chat.completion.chunk``."""
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def chat_stream(
    *texts: str | Gate,
    finish_reason: str = "stop",
    headers: Sequence[tuple[str, str]] = (),
    cut_after: int | None = None,
    ending: Ending = "complete",
) -> Answer:
    """A streamed answer: one chunk and one token per text, gates where they are given, usage, ``[DONE]``."""
    count = sum(1 for text in texts if isinstance(text, str))
    parts = (
        Part(sse(chunk({"role": "assistant", "content": ""}))),
        *(
            each if isinstance(each, Gate) else Part(sse(chunk({"content": each})), tokens=1)
            for each in texts
        ),
        Part(sse(chunk({}, finish_reason=finish_reason))),
        Part(sse({**chunk({}), "choices": [], "usage": usage(count)})),
        Part(b"data: [DONE]\n\n"),
    )
    return Answer(
        headers=(("content-type", "text/event-stream"), *headers),
        parts=parts,
        prompt_tokens=PROMPT_TOKENS,
        cut_after=cut_after,
        ending=ending,
    )
