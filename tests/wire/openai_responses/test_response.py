"""What a failure after the first byte is called, and what goes out comes back the same."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw
from openai.types.responses import ResponseError

from callboard import errors
from callboard.domain.arguments import tool_use
from callboard.domain.block import RedactedThinkingBlock, TextBlock, ThinkingBlock
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_responses.incoming import Conversation
from callboard.wire.openai_responses.response import Shown, item_of, response_error


@pytest.mark.parametrize(
    "error, code",
    [
        (errors.StreamIncomplete("x"), "server_error"),
        (errors.Draining("x"), "server_error"),
        (errors.DeadlineExceeded("x"), "server_error"),
        (errors.RateLimited("x"), "rate_limit_exceeded"),
        (errors.UpstreamRateLimited("x"), "rate_limit_exceeded"),
        (errors.UpstreamInvalid("x"), "invalid_prompt"),
        (errors.UpstreamInvalid("x", upstream_code="strange"), "invalid_prompt"),
        (RuntimeError("x"), "server_error"),
    ],
)
def test_a_failure_has_a_code_that_the_official_client_knows(error: Exception, code: str) -> None:
    told = response_error(error)
    assert told.code == code
    ResponseError.model_validate_json(msgspec.json.encode(told), strict=True)


@pytest.mark.parametrize(
    "error, code",
    [
        (errors.ContextTooLong("x"), "context_length_exceeded"),
        (errors.BudgetExceeded("x"), "insufficient_quota"),
        (errors.UpstreamQuota("x"), "insufficient_quota"),
    ],
)
def test_codes_that_clients_act_on_are_told_though_no_type_lists_them(error: Exception, code: str) -> None:
    assert response_error(error).code == code


@pytest.mark.parametrize(
    "block",
    [
        TextBlock(text="hi"),
        TextBlock(text="no", extra={REFUSAL: TRUE}),
        tool_use("c1", "f", '{"x": 1}'),
        tool_use("c1", "f", "{oops"),
        ThinkingBlock(thinking="hm", signature="sig"),
        ThinkingBlock(thinking="hm"),
        RedactedThinkingBlock(data="x"),
    ],
)
def test_an_item_that_comes_back_is_the_block_it_was(block: Shown) -> None:
    conversation = Conversation()
    conversation.add(Raw(msgspec.json.encode(item_of(block, "id", "completed"))), "input[0]")
    again = [message.content for message in conversation.messages]
    if isinstance(block, ThinkingBlock | RedactedThinkingBlock) and block not in again[0]:
        # What is encrypted may be bound to the id that it came under.
        block = msgspec.structs.replace(block, extra={"id": Raw(b'"id"')})
    assert again == [(block,)]
