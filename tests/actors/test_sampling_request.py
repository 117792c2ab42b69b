"""From what a server asks to what a model is sent, and from its answer to the server's."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from callboard.actors.sampling_request import check_traits, generation_request, sampling_result
from callboard.domain.block import (
    Base64Source,
    Block,
    ImageBlock,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from callboard.domain.generation import Generation, GenerationRequest, StopReason
from callboard.domain.model import ModelTraits
from callboard.domain.sampling import (
    ExtraArgument,
    SamplingPolicy,
    TextContent,
    ToolUseContent,
    decode_params,
)
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import InvalidRequest

PLAIN = SamplingPolicy(enabled=True, max_tokens=100)
WITH_TOOLS = SamplingPolicy(enabled=True, tools=True)
PNG = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
WAV = {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}
CALL = {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}}
FOUND = {"type": "tool_result", "toolUseId": "c1", "content": [{"type": "text", "text": "it"}]}
LOOK = {"name": "look", "description": "Look.", "inputSchema": {"type": "object"}}


def said(*messages: tuple[str, object], policy: SamplingPolicy = PLAIN, **more: object) -> GenerationRequest:
    """The generation for a request with these messages."""
    document = {
        "messages": [{"role": role, "content": content} for role, content in messages],
        "maxTokens": 50,
        **more,
    }
    return generation_request(decode_params(msgspec.json.encode(document)), policy)


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def test_everything_that_is_asked_is_asked_of_the_model() -> None:
    request = said(
        ("user", text("hi")),
        ("assistant", text("Yes?")),
        ("user", [text("see"), PNG]),
        systemPrompt="Be brief.",
        temperature=0.5,
        stopSequences=["END", ""],
    )
    assert [(each.role, each.content) for each in request.messages] == [
        ("user", (TextBlock(text="hi"),)),
        ("assistant", (TextBlock(text="Yes?"),)),
        (
            "user",
            (
                TextBlock(text="see"),
                ImageBlock(source=Base64Source(media_type="image/png", data="aGk=")),
            ),
        ),
    ]
    assert request.system == (TextBlock(text="Be brief."),)
    assert (request.max_output_tokens, request.temperature, request.stop) == (50, 0.5, ("END",))


def test_the_policy_caps_the_answer() -> None:
    assert said(("user", text("hi")), maxTokens=100_000).max_output_tokens == 100


@pytest.mark.parametrize("context", ["none", "thisServer", "allServers"])
def test_no_context_is_included_whatever_is_asked(context: str) -> None:
    assert said(("user", text("hi")), includeContext=context) == said(("user", text("hi")))


def test_a_whole_data_url_is_an_image_too() -> None:
    request = said(("user", {**PNG, "data": "data:image/gif;base64,aGk=", "mimeType": "image/png"}))
    assert request.messages[0].content == (
        ImageBlock(source=Base64Source(media_type="image/gif", data="aGk=")),
    )


def test_sound_becomes_the_part_that_models_take() -> None:
    (block,) = said(("user", WAV)).messages[0].content
    assert isinstance(block, OpaqueBlock)
    assert msgspec.json.decode(block.raw) == {
        "type": "input_audio",
        "input_audio": {"data": "aGk=", "format": "wav"},
    }


@pytest.mark.parametrize(
    "role, content, words",
    [
        ("assistant", PNG, "of the assistant's holds no image"),
        ("assistant", WAV, "of the assistant's holds no audio"),
        ("user", CALL, "of the user's holds no tooluse"),
        ("assistant", FOUND, "of the assistant's holds no toolresult"),
        ("user", {**PNG, "data": "no base64!"}, "not base64"),
        ("user", {**PNG, "data": ""}, "not base64"),
        ("user", {**PNG, "mimeType": "text/html"}, "media type"),
        ("user", {**PNG, "mimeType": "image/png\r\nx: y"}, "media type"),
        ("user", {**WAV, "mimeType": "audio/ogg"}, "audio/wav"),
        ("user", {**WAV, "data": "?"}, "not base64"),
    ],
)
def test_what_no_model_takes_is_refused_with_its_place(
    role: str, content: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=rf"messages\[1\].*{words}"):
        said(("user", text("hi")), (role, content), policy=WITH_TOOLS)


def test_a_task_is_not_answered() -> None:
    with pytest.raises(InvalidRequest, match="sampling as a task is not supported"):
        said(("user", text("hi")), task={"ttl": 1000})


@pytest.mark.parametrize(
    "messages, more",
    [
        ((("user", text("hi")),), {"tools": [LOOK]}),
        ((("user", text("hi")),), {"toolChoice": {"mode": "auto"}}),
        ((("user", text("hi")), ("assistant", CALL), ("user", FOUND)), {}),
    ],
)
def test_tools_are_refused_unless_allowed(
    messages: tuple[tuple[str, object], ...], more: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest, match="tools in sampling are not allowed"):
        said(*messages, tools=more.get("tools"), toolChoice=more.get("toolChoice"))


def test_where_allowed_a_server_offers_its_tools_and_tells_what_they_came_to() -> None:
    request = said(
        ("user", text("hi")),
        ("assistant", [text("I look."), CALL]),
        ("user", [{**FOUND, "isError": True}]),
        policy=WITH_TOOLS,
        tools=[LOOK],
        toolChoice={"mode": "required"},
    )
    assert request.tools == (
        ToolDefinition(name="look", description="Look.", input_schema=Raw(b'{"type":"object"}')),
    )
    assert request.tool_choice == ToolChoice(mode="required")
    assert request.messages[1].content[1] == ToolUseBlock(id="c1", name="look", input=Raw(b'{"a":1}'))
    assert request.messages[2].content == (
        ToolResultBlock(tool_use_id="c1", content=(TextBlock(text="it"),), is_error=True),
    )


def test_a_result_without_content_is_its_structure() -> None:
    result = {"type": "tool_result", "toolUseId": "c1", "structuredContent": {"n": 1}}
    request = said(("user", text("hi")), ("assistant", CALL), ("user", result), policy=WITH_TOOLS)
    assert request.messages[2].content == (
        ToolResultBlock(tool_use_id="c1", content=(TextBlock(text='{"n":1}'),)),
    )


@pytest.mark.parametrize(
    "messages, words",
    [
        ((("assistant", CALL),), "missing"),
        ((("assistant", CALL), ("user", text("hi"))), "missing"),
        ((("user", FOUND),), "without its call"),
        ((("assistant", CALL), ("user", {**FOUND, "toolUseId": "c2"})), "missing"),
        ((("assistant", CALL), ("user", [FOUND, FOUND])), "missing"),
        ((("assistant", CALL), ("user", [FOUND, text("hi")])), "mixed"),
        ((("assistant", {**CALL, "input": [1]}),), "an object"),
    ],
)
def test_calls_and_results_have_to_be_in_balance(
    messages: tuple[tuple[str, object], ...], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        said(*messages, policy=WITH_TOOLS)


HOSTILE = {"model": "dearest", "messages": [], "max_tokens": 1_000_000, "seed": 7, "top_p": 0.5, "top_k": 3}


@pytest.mark.parametrize(
    "allowed, seed, extra",
    [
        ((), None, None),
        (("seed",), 7, None),
        (("seed", "top_k"), 7, {"top_k": Raw(b"3")}),
    ],
)
def test_extra_arguments_are_off_and_then_only_the_listed_ones(
    allowed: tuple[ExtraArgument, ...], seed: int | None, extra: dict[str, Raw] | None
) -> None:
    policy = SamplingPolicy(enabled=True, extra_args=allowed)
    request = said(("user", text("hi")), policy=policy, metadata={"extra_args": HOSTILE, "other": 1})
    assert (request.model, request.max_output_tokens, request.top_p) == ("", 50, None)
    assert (request.seed, request.extra) == (seed, extra)


@pytest.mark.parametrize("given", [1, {"seed": "seven"}])
def test_extra_arguments_of_the_wrong_type_are_refused(given: object) -> None:
    policy = SamplingPolicy(enabled=True, extra_args=("seed",))
    with pytest.raises(InvalidRequest, match="extra_args"):
        said(("user", text("hi")), policy=policy, metadata={"extra_args": given})


@pytest.mark.parametrize(
    "content, traits, words",
    [
        (PNG, ModelTraits(images=False), "no images"),
        (WAV, ModelTraits(), "no audio"),
    ],
)
def test_what_the_chosen_model_cannot_take_is_refused_before_it_is_sent(
    content: object, traits: ModelTraits, words: str
) -> None:
    request = said(("user", content))
    check_traits(request, ModelTraits(images=True, audio=True), "m")
    with pytest.raises(InvalidRequest, match=f"the model 'm' takes {words}"):
        check_traits(request, traits, "m")


def test_images_within_results_count_and_so_do_tools() -> None:
    shown = {**FOUND, "content": [PNG]}
    request = said(
        ("user", text("hi")), ("assistant", CALL), ("user", shown), policy=WITH_TOOLS, tools=[LOOK]
    )
    with pytest.raises(InvalidRequest, match="images"):
        check_traits(request, ModelTraits(images=False), "m")
    with pytest.raises(InvalidRequest, match="calls no tools"):
        check_traits(request, ModelTraits(tools=False), "m")


def generation(*content: Block, stop_reason: StopReason = "end_turn") -> Generation:
    return Generation(id="x", model="real-model-1", content=content, stop_reason=stop_reason)


@pytest.mark.parametrize(
    "stop_reason, word",
    [
        ("end_turn", "endTurn"),
        ("max_tokens", "maxTokens"),
        ("stop_sequence", "stopSequence"),
        ("tool_use", "toolUse"),
        ("refusal", "refusal"),
        ("pause_turn", "endTurn"),
    ],
)
def test_a_stop_reason_is_told_in_mcps_words(stop_reason: StopReason, word: str) -> None:
    assert sampling_result(generation(stop_reason=stop_reason), tools=False).stop_reason == word


def test_the_answer_is_the_text_and_not_the_thought() -> None:
    answer = generation(ThinkingBlock(thinking="secret"), TextBlock(text="Hello "), TextBlock(text="you"))
    result = sampling_result(answer, tools=False)
    assert (result.content, result.model) == (TextContent(text="Hello you"), "real-model-1")


def test_a_refusal_is_its_own_words() -> None:
    answer = generation(TextBlock(text="I will not.", extra={"refusal": Raw(b"true")}), stop_reason="refusal")
    assert sampling_result(answer, tools=False).content == TextContent(text="I will not.")


def test_with_tools_the_calls_go_back_to_the_server() -> None:
    call = ToolUseBlock(id="c1", name="look", input=Raw(b'{"a":1}'))
    shown = ToolUseContent(id="c1", name="look", input=Raw(b'{"a":1}'))
    assert sampling_result(generation(call), tools=True).content == (shown,)
    both = sampling_result(generation(TextBlock(text="I look."), call), tools=True)
    assert both.content == (TextContent(text="I look."), shown)
    assert sampling_result(generation(), tools=True).content == (TextContent(text=""),)
