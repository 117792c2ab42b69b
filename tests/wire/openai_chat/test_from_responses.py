"""What a client of the Responses dialect asks, as an upstream of chat completions is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callboard.domain.model import ModelTraits
from callboard.errors import LocalWireError
from callboard.wire.openai_chat.request import encode_request
from callboard.wire.openai_responses.request import decode_request

LOGPROBS = "message.output_text.logprobs"
PLAIN = ModelTraits()
BARE = {"model": "up-1", "messages": [{"role": "user", "content": "hello"}]}


def sent(traits: ModelTraits = PLAIN, /, **fields: object) -> Any:
    request = decode_request(json.dumps({"model": "m", "input": "hello", **fields}).encode()).request
    return json.loads(encode_request(request, upstream_name="up-1", traits=traits, stream=False))


def test_what_means_the_same_is_passed_on_and_the_rest_is_not() -> None:
    fields: dict[str, object] = {
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "presence_penalty": 1,
    }
    others: dict[str, object] = {
        "metadata": {"a": "b"},
        "truncation": "auto",
        "store": True,
        "tools": [{"type": "web_search"}],
        "max_tool_calls": 3,
        "vendor": 1,
    }
    assert sent(**{**fields, **others}) == {**BARE, **fields}


def test_verbosity_and_log_probabilities_are_asked_for_in_the_dialects_own_words() -> None:
    assert sent(text={"verbosity": "low"}) == {**BARE, "verbosity": "low"}
    assert sent(include=[LOGPROBS]) == {**BARE, "logprobs": True}
    assert sent(include=[LOGPROBS], top_logprobs=2) == {**BARE, "logprobs": True, "top_logprobs": 2}
    assert sent(include=["reasoning.encrypted_content"], top_logprobs=2) == BARE


def test_a_reasoning_model_is_not_asked_for_log_probabilities() -> None:
    assert sent(ModelTraits(reasoning=True), include=[LOGPROBS], presence_penalty=1) == BARE


def test_what_breaks_its_own_dialect_is_refused() -> None:
    with pytest.raises(LocalWireError):
        sent(include=["x"], top_logprobs="many")
