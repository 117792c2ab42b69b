"""Why an upstream's answer ended, what it consumed, and what went wrong."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from callboard.domain.block import ToolUseBlock
from callboard.domain.usage import Usage
from callboard.errors import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from callboard.wire.openai_responses.schema import FunctionCallItem
from callboard.wire.openai_responses.upstream_response import (
    decode_call,
    failure_of,
    service_tier,
    stop_reason_of,
    usage_of,
)
from callboard.wire.openai_responses.upstream_schema import (
    CallIn,
    IncompleteIn,
    InputDetailsIn,
    OutputDetailsIn,
    ResponseIn,
    UsageIn,
)


@pytest.mark.parametrize(
    "wire, expected",
    [
        (
            UsageIn(
                input_tokens=100,
                output_tokens=50,
                input_tokens_details=InputDetailsIn(cached_tokens=60, cache_write_tokens=30),
                output_tokens_details=OutputDetailsIn(reasoning_tokens=20),
            ),
            Usage(
                input_tokens=10,
                output_tokens=50,
                cache_read_tokens=60,
                cache_write_tokens=30,
                reasoning_tokens=20,
            ),
        ),
        (UsageIn(input_tokens=5, output_tokens=2), Usage(input_tokens=5, output_tokens=2)),
        (
            UsageIn(input_tokens=5, input_tokens_details=InputDetailsIn(cached_tokens=9)),
            Usage(cache_read_tokens=9),
        ),
        (UsageIn(), Usage()),
    ],
)
def test_no_token_is_counted_twice(wire: UsageIn, expected: Usage) -> None:
    assert usage_of(wire) == expected


@pytest.mark.parametrize(
    "status, why, called, refused, expected",
    [
        ("completed", None, False, False, "end_turn"),
        ("completed", None, True, False, "tool_use"),
        ("completed", None, False, True, "refusal"),
        ("incomplete", "max_output_tokens", False, False, "max_tokens"),
        ("incomplete", "max_output_tokens", True, False, "max_tokens"),
        ("incomplete", "content_filter", False, False, "refusal"),
        ("incomplete", "boredom", False, False, "max_tokens"),
        ("incomplete", None, False, False, "max_tokens"),
    ],
)
def test_an_answer_has_a_reason_to_stop(
    status: str, why: str | None, called: bool, refused: bool, expected: str
) -> None:
    response = ResponseIn(incomplete_details=None if why is None else IncompleteIn(reason=why))
    assert stop_reason_of(response, status, called=called, refused=refused) == expected


@pytest.mark.parametrize(
    "error, kind",
    [
        ({"code": "server_error", "message": "m"}, UpstreamServerError),
        ({"code": "rate_limit_exceeded", "message": "m"}, UpstreamRateLimited),
        ({"code": "insufficient_quota", "message": "m"}, UpstreamQuota),
        ({"code": "context_length_exceeded", "message": "m"}, UpstreamInvalid),
        ({"code": "invalid_prompt", "message": "m"}, UpstreamInvalid),
        ({"code": "image_content_policy_violation", "message": "m"}, UpstreamInvalid),
        ({"code": "server_is_overloaded", "message": "m"}, UpstreamOverloaded),
        ({"code": "vector_store_timeout", "message": "m"}, UpstreamTimeout),
        ({"type": "invalid_request_error", "message": "m"}, UpstreamInvalid),
        ({"message": "m"}, UpstreamServerError),
    ],
)
def test_a_failure_is_known_by_its_code(error: object, kind: type[UpstreamError]) -> None:
    found = failure_of(Raw(json.dumps(error).encode()))
    assert type(found) is kind
    assert str(found) == "m"
    assert json.loads(found.body or b"") == {"error": error}


def test_a_failure_without_a_word_is_the_servers() -> None:
    assert type(failure_of(Raw(b"null"))) is UpstreamServerError


def test_what_looks_like_a_key_is_masked() -> None:
    found = failure_of(Raw(b'{"code":"invalid_prompt","message":"not with sk-abcdef123"}'))
    assert "sk-abc" not in str(found)


@pytest.mark.parametrize("arguments", [b'"{\\"a\\": 1}"', b'{"a": 1}'])
def test_a_call_becomes_a_block(arguments: bytes) -> None:
    call = CallIn(call_id="c", name="f", arguments=Raw(arguments))
    assert decode_call(call) == ToolUseBlock(id="c", name="f", input=Raw(b'{"a": 1}'))


def test_a_struct_of_another_kind_is_no_call() -> None:
    with pytest.raises(TypeError, match="FunctionCallItem"):
        decode_call(FunctionCallItem(call_id="c", name="f"))


def test_the_service_tier_is_kept_for_the_client() -> None:
    assert service_tier(ResponseIn(service_tier="flex")) == {"service_tier": Raw(b'"flex"')}
    assert service_tier(ResponseIn()) is None
