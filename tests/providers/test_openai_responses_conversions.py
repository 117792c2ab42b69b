"""The pure methods of handlers that speak the Responses dialect, as far as the contract leaves them out."""

import msgspec
import pytest

from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.errors import RemoteWireError
from callboard.providers.openai_responses_conversions import OpenAIResponsesConversions
from callboard.wire.openai_responses.upstream_schema import CallIn
from tests.fakes.responses_traffic import INPUT_TOKENS, message, response

SUBJECT = OpenAIResponsesConversions()


def wire_call(arguments: str) -> CallIn:
    return CallIn(call_id="call_1", name="look_up", arguments=msgspec.Raw(msgspec.json.encode(arguments)))


def test_a_tool_call_becomes_a_block_with_its_arguments_as_written() -> None:
    block = SUBJECT.parse_tool_use(wire_call('{"city": "Oslo"}'))
    assert block == ToolUseBlock(id="call_1", name="look_up", input=msgspec.Raw(b'{"city": "Oslo"}'))


@pytest.mark.parametrize("arguments", ['{"city"', "[1]", "Oslo", '"{}"'])
def test_arguments_that_are_no_object_are_kept_beside_an_empty_one(arguments: str) -> None:
    block = SUBJECT.parse_tool_use(wire_call(arguments))
    assert bytes(block.input) == b"{}"
    assert block.extra is not None
    assert msgspec.json.decode(block.extra["invalid_arguments"]) == arguments


def test_a_whole_answer_is_read() -> None:
    body = msgspec.json.encode(response(message("Hi there"), output_tokens=2))
    generation = SUBJECT.convert_from_provider_response(body)
    assert generation.content == (TextBlock(text="Hi there"),)
    assert generation.usage is not None
    assert (generation.usage.prompt_tokens, generation.usage.output_tokens) == (INPUT_TOKENS, 2)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"choices":[]}', b"\xff"])
def test_an_answer_that_is_none_is_the_providers_error(body: bytes) -> None:
    with pytest.raises(RemoteWireError):
        SUBJECT.convert_from_provider_response(body)
