"""Chunks into events: in order whatever the upstream does, and never complete unless it said so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.arguments import tool_use
from callboard.domain.block import Block, TextBlock, ThinkingBlock, ToolUseBlock
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
    TextDelta,
)
from callboard.domain.fold import LOGPROBS, fold
from callboard.domain.generation import Generation
from callboard.domain.usage import Usage
from callboard.errors import (
    RemoteWireError,
    StreamIncomplete,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamServerError,
)
from callboard.wire.openai_chat.stream import ChunkDecoder

DONE = b"[DONE]"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def chunk(delta: dict[str, object] | None = None, finish: str | None = None, **fields: object) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return json.dumps({"id": "g", "model": "m", "choices": [choice], **fields}).encode()


def calls(*pieces: dict[str, object]) -> bytes:
    return chunk({"tool_calls": list(pieces)})


def piece(arguments: object = None, name: str | None = None, **fields: object) -> dict[str, object]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"function": function, **fields}


def events_of(*data: bytes) -> list[GenerationEvent]:
    decoder = ChunkDecoder()
    events = [event for one in data for event in decoder.feed(one)]
    return [*events, *decoder.end()]


def answer(*data: bytes) -> Generation:
    return fold(events_of(*data))


def blocks(*data: bytes) -> tuple[Block, ...]:
    return answer(*data, chunk(finish="tool_calls"), DONE).content


def test_text_passes_at_once() -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(chunk({"role": "assistant", "content": ""})) == (
        GenerationStarted(id="g", model="m"),
    )
    assert decoder.feed(chunk({"content": "a"})) == (
        BlockStarted(index=0, block=TextBlock(text="")),
        TextDelta(index=0, text="a"),
    )
    assert decoder.feed(chunk({"content": "b"})) == (TextDelta(index=0, text="b"),)
    assert decoder.feed(chunk(finish="stop")) == (BlockStopped(index=0),)
    assert decoder.feed(DONE) == (GenerationStopped(stop_reason="end_turn"),)
    assert decoder.feed(DONE) == ()
    assert decoder.end() == ()


def test_a_calls_arguments_pass_at_once() -> None:
    decoder = ChunkDecoder()
    decoder.feed(calls(piece("", "f", index=0, id="c")))
    assert decoder.feed(calls(piece('{"a":', index=0))) == (ArgumentsDelta(index=0, partial_json='{"a":'),)
    assert decoder.feed(calls(piece("1}", index=0))) == (ArgumentsDelta(index=0, partial_json="1}"),)


CALL_LISTS = [
    pytest.param([[piece('{"a":1}', "f", index=0, id="c")]], [("c", "f", '{"a":1}')], id="whole at once"),
    pytest.param(
        [[piece(None, "f", index=0, id="c")], [piece(None, index=0)], [piece("{}", index=0)]],
        [("c", "f", "{}")],
        id="null arguments",
    ),
    pytest.param([[piece({"a": 1}, "f", index=0, id="c")]], [("c", "f", '{"a": 1}')], id="an object"),
    pytest.param([[piece(None, "f", index=0, id="c")]], [("c", "f", "")], id="no arguments"),
    pytest.param(
        [[{"index": 0, "id": "c", "function": None}], [piece("{}", "f", index=0)]],
        [("c", "f", "{}")],
        id="name late",
    ),
    pytest.param([[piece('{"a":', "f", id="c")], [piece("1}")]], [("c", "f", '{"a":1}')], id="no index"),
    pytest.param(
        [[piece('{"a":', "f", id="c")], [piece("1}", id="c")], [piece("{}", "g", id="d")]],
        [("c", "f", '{"a":1}'), ("d", "g", "{}")],
        id="ids in the place of indexes",
    ),
    pytest.param(
        [[piece("{}", "f", index=0)], [piece("{}", "g", index=1)]],
        [("call_g_0", "f", "{}"), ("call_g_1", "g", "{}")],
        id="no ids",
    ),
    pytest.param(
        [[piece("{}", "f")], [piece("{}", "g")]],
        [("call_g_0", "f", "{}"), ("call_g_1", "g", "{}")],
        id="neither ids nor indexes",
    ),
    pytest.param(
        [[piece("{}", "f", index=0, id="c")], [piece("{}", "f", index=0, id="d")]],
        [("c", "f", "{}"), ("d", "f", "{}")],
        id="an index used again",
    ),
    pytest.param(
        [[piece('{"a"', "f", index=0, id="c")], [piece(":1}", "f", index=0, id="c")]],
        [("c", "f", '{"a":1}')],
        id="id and name repeated",
    ),
    pytest.param(
        [[piece("{}", "f", index=0, id="c")], [piece("{}", "f", index=1, id="c")]],
        [("c", "f", "{}"), ("call_g_1", "f", "{}")],
        id="one id for two calls",
    ),
    pytest.param(
        [[piece("", "f", index=0)], [piece("{}", index=0, id="late")]],
        [("call_g_0", "f", "{}")],
        id="id late",
    ),
    pytest.param(
        [
            [piece("", "f", index=0, id="c"), piece("", "g", index=1, id="d")],
            [piece('{"a":', index=1), piece('{"b":', index=0)],
            [piece("1}", index=0), piece("2}", index=1)],
        ],
        [("c", "f", '{"b":1}'), ("d", "g", '{"a":2}')],
        id="interleaved",
    ),
    pytest.param(
        [[piece("{}", "f", index=0, id="c")], [piece("{}", "g", index=1, id="d")], [piece("", index=0)]],
        [("c", "f", "{}"), ("d", "g", "{}")],
        id="an empty piece afterwards",
    ),
]


@pytest.mark.parametrize("deltas, expected", CALL_LISTS)
def test_calls_are_put_together(
    deltas: list[list[dict[str, object]]], expected: list[tuple[str, str, str]]
) -> None:
    assert blocks(*(calls(*pieces) for pieces in deltas)) == tuple(tool_use(*call) for call in expected)


def test_the_second_call_streams_as_soon_as_the_first_is_whole() -> None:
    decoder = ChunkDecoder()
    decoder.feed(calls(piece("{}", "f", index=0, id="c")))
    assert decoder.feed(calls(piece('{"a":', "g", index=1, id="d"))) == (
        BlockStopped(index=0),
        BlockStarted(index=1, block=ToolUseBlock(id="d", name="g", input=Raw(b"{}"))),
        ArgumentsDelta(index=1, partial_json='{"a":'),
    )


def test_a_call_that_goes_on_after_its_end_is_refused() -> None:
    with pytest.raises(RemoteWireError):
        blocks(
            calls(piece("{}", "f", index=0, id="c")),
            calls(piece("{}", "g", index=1, id="d")),
            calls(piece("x", index=0)),
        )


def test_text_after_an_open_call_waits_for_its_end() -> None:
    assert blocks(
        chunk({"content": "a"}),
        calls(piece('{"a":', "f", index=0, id="c")),
        chunk({"content": "b"}),
        calls(piece("1}", index=0)),
        chunk({"content": "c"}),
    ) == (TextBlock(text="a"), tool_use("c", "f", '{"a":1}'), TextBlock(text="bc"))


def test_the_legacy_call_is_a_call() -> None:
    whole = answer(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": "{}"}}),
        chunk(finish="function_call"),
    )
    assert whole.content == (tool_use("call_g_0", "f", "{}"),)
    assert whole.stop_reason == "tool_use"


def test_reasoning_text_and_refusal_are_blocks_of_their_own() -> None:
    whole = answer(
        chunk({"reasoning_content": "h"}),
        chunk({"reasoning": "m"}),
        chunk({"content": "a"}),
        chunk({"refusal": "n"}),
        chunk({"refusal": "o"}),
        chunk(finish="stop"),
    )
    assert whole.content == (
        ThinkingBlock(thinking="hm"),
        TextBlock(text="a"),
        TextBlock(text="no", extra={"refusal": Raw(b"true")}),
    )
    assert whole.stop_reason == "refusal"


@pytest.mark.parametrize(
    "finish, expected",
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "tool_use"),
    ],
)
def test_a_finish_reason_is_told(finish: str, expected: str) -> None:
    assert answer(chunk({"content": "a"}), chunk(finish=finish)).stop_reason == expected


def test_stop_with_calls_is_tool_use() -> None:
    assert answer(calls(piece("{}", "f", index=0, id="c")), chunk(finish="stop")).stop_reason == "tool_use"


USAGE_PLACES = [
    pytest.param(
        [chunk(finish="stop"), json.dumps({"choices": [], "usage": USAGE}).encode(), DONE], id="last chunk"
    ),
    pytest.param([chunk(finish="stop", usage=USAGE), DONE], id="finish chunk"),
    pytest.param([chunk(finish="stop", x_groq={"usage": USAGE}), DONE], id="Groq"),
    pytest.param(
        [chunk(usage={"prompt_tokens": 1}), chunk(finish="stop", usage=USAGE), DONE], id="each chunk"
    ),
    pytest.param(
        [chunk(finish="stop"), json.dumps({"choices": [], "usage": USAGE}).encode()], id="no end marker"
    ),
    pytest.param([chunk(finish="stop"), chunk(usage=USAGE), DONE], id="with an empty choice"),
]


@pytest.mark.parametrize("data", USAGE_PLACES)
def test_the_usage_is_found_and_the_stop_waits_for_it(data: list[bytes]) -> None:
    events = events_of(chunk({"content": "a"}), *data)
    stops = [event for event in events if isinstance(event, GenerationStopped)]
    assert stops == [GenerationStopped(stop_reason="end_turn", usage=Usage(input_tokens=3, output_tokens=4))]


@pytest.mark.parametrize(
    "data",
    [
        [],
        [chunk({"content": "a"})],
        [chunk({"content": "a"}), json.dumps({"choices": [], "usage": USAGE}).encode()],
        [calls(piece("{}", "f", index=0, id="c"))],
    ],
)
def test_a_stream_without_its_end_is_incomplete(data: list[bytes]) -> None:
    with pytest.raises(StreamIncomplete):
        events_of(*data)


@pytest.mark.parametrize(
    "data", [[chunk({"content": "a"}), chunk(finish="stop")], [chunk({"content": "a"}), DONE]]
)
def test_either_end_completes_a_stream(data: list[bytes]) -> None:
    assert answer(*data).content == (TextBlock(text="a"),)


@pytest.mark.parametrize(
    "data, error",
    [
        (b'{"error":{"message":"out of money","code":"insufficient_quota"}}', UpstreamQuota),
        (b'{"error":{"message":"busy","type":"overloaded_error"}}', UpstreamOverloaded),
        (b'{"error":{"message":"down","code":502}}', UpstreamServerError),
        (b'{"error":"something broke"}', UpstreamServerError),
        (chunk(finish="error"), UpstreamServerError),
    ],
)
def test_an_error_in_the_middle_is_raised_as_what_it_is(data: bytes, error: type[UpstreamError]) -> None:
    decoder = ChunkDecoder()
    decoder.feed(chunk({"content": "a"}))
    with pytest.raises(error) as raised:
        decoder.feed(data)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"choices":[{"delta":3}]}',
        b"{",
        b"\xff",
        DONE,
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\xff"}}]}}]}',
    ],
)
def test_data_that_breaks_the_dialect_is_the_upstreams_fault(data: bytes) -> None:
    with pytest.raises(RemoteWireError):
        ChunkDecoder().feed(data)


@pytest.mark.parametrize(
    "data",
    [
        [calls(*(piece("{}", "f", index=index) for index in range(1_025)))],
        [calls(piece("{}", "f", index=index)) for index in range(1_025)],
        [chunk({"content": [{"type": "text", "text": "x"}] * 1_025})],
        [json.dumps({"choices": [{"delta": {}}] * 1_025}).encode()],
    ],
    ids=["calls", "calls one by one", "pieces of content", "choices"],
)
def test_an_answer_of_more_parts_than_any_model_makes_is_refused(data: list[bytes]) -> None:
    with pytest.raises(RemoteWireError, match="more than 1024"):
        events_of(*data)


def test_a_thousand_calls_are_read() -> None:
    assert len(blocks(*(calls(piece("{}", "f", index=index)) for index in range(1_024)))) == 1_024


@pytest.mark.parametrize(
    "pieces, whole",
    [
        (["{", '"a":"}', '"}'], True),
        (['{"a":"\\', '"}"', "}"], True),
        (["{} ", " "], True),
        ([" ", "{}"], True),
        (['"', 'text"'], False),
        (["[1]", ""], False),
        (["{}", "{}"], False),
        (["]", "{}"], False),
    ],
)
def test_the_next_call_begins_when_the_arguments_are_whole(pieces: list[str], whole: bool) -> None:
    decoder = ChunkDecoder()
    decoder.feed(calls(piece("", "f", index=0)))
    for text in pieces:
        decoder.feed(calls(piece(text, index=0)))
    events = decoder.feed(calls(piece("", "g", index=1)))
    assert any(isinstance(event, BlockStarted) for event in events) == whole


def test_what_says_nothing_is_skipped() -> None:
    silent = [
        b'{"id":"","model":"","choices":[],"prompt_filter_results":[]}',
        b'{"choices":[{"index":0,"finish_reason":null,"content_filter_results":{}}]}',
        b'{"choices":[{"index":1,"delta":{"content":"another answer"}}]}',
        b'{"choices":null}',
    ]
    assert answer(*silent, chunk({"content": "a"}), chunk(finish="stop")).content == (TextBlock(text="a"),)


def test_log_probabilities_come_with_their_text() -> None:
    def spoken(text: str, tokens: list[str]) -> bytes:
        logprobs = {"content": [{"token": token} for token in tokens], "refusal": None}
        choice = {"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": None}
        return json.dumps({"id": "g", "model": "m", "choices": [choice]}, separators=(",", ":")).encode()

    whole = answer(
        spoken("", []),
        spoken("", ["\\xf0"]),
        spoken("a", ["a"]),
        chunk({"content": "b"}),
        chunk(finish="stop"),
    )
    tokens = Raw(b'[{"token":"\\\\xf0"},{"token":"a"}]')
    assert whole.content == (TextBlock(text="ab", extra={LOGPROBS: tokens}),)


said = st.sampled_from(["text", "thinking", "refusal"])
deltas = st.lists(
    st.tuples(said, st.sampled_from(["a", "b", ""]))
    | st.tuples(st.integers(0, 2), st.sampled_from(["[", "]", "1", ""])),
    max_size=12,
)


@given(deltas)
def test_blocks_never_interleave_and_no_piece_is_lost(written: list[tuple[str | int, str]]) -> None:
    names = {"text": "content", "thinking": "reasoning_content", "refusal": "refusal"}
    data = [
        chunk({names[kind]: text})
        if isinstance(kind, str)
        else calls(piece(text, f"f{kind}", index=kind, id=f"c{kind}"))
        for kind, text in written
    ]
    whole = answer(*data, chunk(finish="stop"))
    for index in range(3):
        expected = "".join(text for kind, text in written if kind == index)
        made = [
            block for block in whole.content if isinstance(block, ToolUseBlock) and block.id == f"c{index}"
        ]
        assert made == (
            [tool_use(f"c{index}", f"f{index}", expected)]
            if any(kind == index for kind, _ in written)
            else []
        )
    spoken = "".join(
        block.text for block in whole.content if isinstance(block, TextBlock) and block.extra is None
    )
    assert spoken == "".join(text for kind, text in written if kind == "text")
