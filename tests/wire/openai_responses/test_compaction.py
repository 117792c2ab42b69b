"""The item that carries a summary."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.domain.block import TextBlock
from callboard.domain.generation import Generation, StopReason
from callboard.errors import StreamIncomplete
from callboard.wire.openai_responses.compaction import (
    FOREWORD,
    content_of,
    encode_compacted,
    summarising,
    summary_in,
)
from callboard.wire.openai_responses.request import decode_request


def generation(text: str, stop_reason: StopReason = "end_turn") -> Generation:
    return Generation(id="g", model="m", content=(TextBlock(text=text),), stop_reason=stop_reason)


@given(st.text())
def test_a_summary_comes_out_as_it_went_in(summary: str) -> None:
    assert summary_in(content_of(summary)) == FOREWORD + summary


@pytest.mark.parametrize("content", ["", "gAAAAABp", "callboard1.???", "callboard1.e30=", "callboard1.a"])
def test_a_content_that_is_not_ours_is_not_read(content: str) -> None:
    assert summary_in(content) is None


def test_only_what_serves_a_summary_is_asked_again() -> None:
    fields = {
        "model": "m",
        "input": "hi",
        "instructions": "Be kind.",
        "prompt_cache_key": "k",
        "text": {"format": {"type": "json_object"}},
        "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
        "max_output_tokens": 5,
    }
    request = summarising(decode_request(json.dumps(fields).encode()).request)
    assert (request.tools, request.response_format, request.max_output_tokens) == ((), None, None)
    assert [block.text for block in request.system] == ["Be kind."]
    assert list(request.extra or {}) == ["prompt_cache_key"]


@pytest.mark.parametrize(
    "said", [generation(" "), generation("half", "max_tokens"), generation("no", "refusal")]
)
def test_less_than_a_summary_is_refused(said: Generation) -> None:
    with pytest.raises(StreamIncomplete):
        encode_compacted(said, response_id="resp_1", created_at=1)
