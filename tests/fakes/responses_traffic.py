"""Answers of a Responses upstream as values, told as OpenAI tells them; for `tests.fakes.upstream`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tests.fakes.openai_traffic import Answer, Ending, Gate, Json, Part, json_answer

INPUT_TOKENS = 7


def message(text: str, number: int = 0) -> Json:
    """A message item."""
    part: Json = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": f"msg_{number}",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def refusal(words: str) -> Json:
    """A message item that is a refusal."""
    return {**message(""), "content": [{"type": "refusal", "refusal": words}]}


def function_call(name: str, arguments: str, call_id: str = "call_x") -> Json:
    """A call."""
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def reasoning(*summary: str, item_id: str = "rs_1", encrypted: str | None = "gAAAA") -> Json:
    """A thought: a summary in paragraphs, and its encrypted form."""
    item: Json = {"type": "reasoning", "id": item_id}
    item["summary"] = [{"type": "summary_text", "text": text} for text in summary]
    return item if encrypted is None else {**item, "encrypted_content": encrypted}


def response(*output: Json, status: str = "completed", output_tokens: int = 3, **more: object) -> Json:
    """A Response object."""
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "fake-1",
        "output": list(output),
        "service_tier": "default",
        "usage": {
            "input_tokens": INPUT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": INPUT_TOKENS + output_tokens,
        },
        **more,
    }


def events_of(*output: Json, last: Json | None = None, pieces: int = 2) -> list[Json]:
    """The events that tell of a response: its items in deltas of ``pieces`` characters, and its end."""
    begun = {**response(status="in_progress"), "usage": None}
    told: list[Json] = [
        {"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")
    ]
    for index, item in enumerate(output):
        told += [{**event, "output_index": index} for event in _item_events(item, pieces)]
    end = last or response(*output)
    told.append({"type": f"response.{end['status']}", "response": end})
    return [{**event, "sequence_number": number} for number, event in enumerate(told)]


def sse(event: Json) -> bytes:
    """An event as it is sent."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def stream_of(
    *events: Json | Gate,
    headers: Sequence[tuple[str, str]] = (),
    cut_after: int | None = None,
    ending: Ending = "complete",
) -> Answer:
    """A streamed answer; no end marker, as OpenAI sends none."""
    parts = tuple(each if isinstance(each, Gate) else Part(sse(each)) for each in events)
    return Answer(
        headers=(("content-type", "text/event-stream; charset=utf-8"), *headers),
        parts=parts,
        prompt_tokens=INPUT_TOKENS,
        cut_after=cut_after,
        ending=ending,
    )


def answers(*output: Json, headers: Sequence[tuple[str, str]] = ()) -> tuple[Answer, Answer]:
    """The same answer, streamed and not."""
    return (
        stream_of(*events_of(*output), headers=headers),
        json_answer(response(*output), headers=headers),
    )


def _item_events(item: Json, pieces: int) -> Iterator[Json]:
    at: Json = {"item_id": item["id"]}
    match item["type"]:
        case "message":
            told = list(_parts(item["content"], at, pieces))
            empty: Json = {**item, "content": [], "status": "in_progress"}
        case "reasoning":
            told = list(_summary(item["summary"], at, pieces))
            empty = {
                **item,
                "summary": [],
                **({"encrypted_content": ""} if "encrypted_content" in item else {}),
            }
        case _:
            told = list(_whole(str(item["arguments"]), "function_call_arguments", "arguments", at, pieces))
            empty = {**item, "arguments": "", "status": "in_progress"}
    yield {"type": "response.output_item.added", "item": empty}
    yield from told
    yield {"type": "response.output_item.done", "item": item}


def _parts(content: object, at: Json, pieces: int) -> Iterator[Json]:
    assert isinstance(content, list)
    for index, part in enumerate(content):
        here: Json = {**at, "content_index": index}
        field = "refusal" if part["type"] == "refusal" else "text"
        yield {"type": "response.content_part.added", **here, "part": {**part, field: ""}}
        name = "refusal" if field == "refusal" else "output_text"
        yield from _whole(part[field], name, field, here, pieces)
        yield {"type": "response.content_part.done", **here, "part": part}


def _summary(summary: object, at: Json, pieces: int) -> Iterator[Json]:
    assert isinstance(summary, list)
    for index, part in enumerate(summary):
        here: Json = {**at, "summary_index": index}
        yield {"type": "response.reasoning_summary_part.added", **here, "part": {**part, "text": ""}}
        yield from _whole(part["text"], "reasoning_summary_text", "text", here, pieces)
        yield {"type": "response.reasoning_summary_part.done", **here, "part": part}


def _whole(text: str, name: str, field: str, at: Json, pieces: int) -> Iterator[Json]:
    for start in range(0, len(text), pieces):
        yield {"type": f"response.{name}.delta", **at, "delta": text[start : start + pieces]}
    yield {"type": f"response.{name}.done", **at, field: text}
