"""What every provider handler keeps, as test classes to inherit from.

A handler's own test file subclasses the contracts that apply and says how to make the upstream behave,
through a `Harness`. `ConversionContract` is for the pure methods, `AnswerContract` for whatever can answer,
`FailureContract` for whatever can be told to fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio
import msgspec
import pytest

from callboard.domain.block import Base64Source, ImageBlock, TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import (
    BlockStarted,
    BlockStopped,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
)
from callboard.domain.fold import fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import Message, text_of, user_text
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolDefinition, ToolOutcome
from callboard.errors import (
    StreamIncomplete,
    UpstreamAuthentication,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamServerError,
)
from callboard.providers.handler import ProviderCall, ProviderHandler

LOOK_UP = ToolDefinition(
    name="look_up",
    description="Looks a city up",
    input_schema=msgspec.Raw(
        b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'
    ),
)
CONVERSATION = (
    user_text("Where is Oslo?"),
    Message(
        role="assistant",
        content=(
            TextBlock(text="I look."),
            ToolUseBlock(id="call_1", name="look_up", input=msgspec.Raw(b'{"city":"Oslo"}')),
            ToolUseBlock(id="call_2", name="look_up", input=msgspec.Raw(b'{"city":"Troms\\u00f8"}')),
        ),
    ),
    Message(
        role="user",
        content=(
            ToolResultBlock(tool_use_id="call_1", content=(TextBlock(text="in Norway"),)),
            ToolResultBlock(tool_use_id="call_2", content=(TextBlock(text="no such city"),), is_error=True),
            TextBlock(text="And this?"),
            ImageBlock(source=Base64Source(media_type="image/png", data="iVBORw0KGgo=")),
        ),
    ),
)


class Harness(Protocol):
    """A handler whose client is open, and power over its upstream."""

    @property
    def handler(self) -> ProviderHandler:
        """The subject."""
        ...

    @property
    def model(self) -> str:
        """An upstream name that the subject may be called with."""
        ...

    def say(self, *texts: str) -> None:
        """The next answer says these texts, in as many deltas."""
        ...

    def hold_after(self, text: str) -> None:
        """The next answer says ``text`` and then nothing for as long as it is read."""
        ...

    async def left(self) -> None:
        """Returns when the upstream has noticed that the held answer is not wanted any more."""
        ...


class FailingHarness(Harness, Protocol):
    """An upstream that fails on demand."""

    def call_tool(self, name: str, arguments: str) -> None:
        """The next answer calls a tool."""
        ...

    def fail(self, status: int, *, retry_after_s: int | None = None) -> None:
        """The next answer is this status."""
        ...

    def cut_after(self, text: str) -> None:
        """The next answer says ``text`` and then loses its connection."""
        ...


def call_for(harness: Harness, text: str = "Hello", *, stream: bool = True) -> ProviderCall:
    request = GenerationRequest(model="any", messages=(user_text(text),), tools=(LOOK_UP,))
    return ProviderCall(request=request, upstream_name=harness.model, stream=stream)


async def events_of_call(harness: Harness, call: ProviderCall) -> list[GenerationEvent]:
    async with harness.handler.call_api(call) as answer:
        return [event async for event in answer]


async def generation_of(harness: Harness, *, stream: bool) -> Generation:
    return fold(await events_of_call(harness, call_for(harness, stream=stream)))


def assert_in_order(events: Sequence[GenerationEvent]) -> None:
    """GenerationStarted (BlockStarted Delta* BlockStopped)* GenerationStopped, indexes without gaps."""
    assert isinstance(events[0], GenerationStarted)
    assert isinstance(events[-1], GenerationStopped)
    index, is_open = -1, False
    for event in events[1:-1]:
        match event:
            case GenerationStarted() | GenerationStopped():
                pytest.fail("a start or an end within the answer")
            case BlockStarted():
                assert not is_open
                assert event.index == index + 1
                index, is_open = event.index, True
            case BlockStopped():
                assert (is_open, event.index) == (True, index)
                is_open = False
            case _:
                assert (is_open, event.index) == (True, index)
    assert not is_open


class ConversionContract:
    """The pure methods."""

    def handler(self) -> ProviderHandler:
        raise NotImplementedError

    def test_it_has_the_eight_methods(self) -> None:
        assert isinstance(self.handler(), ProviderHandler)

    def test_conversions_give_structs_that_encode_and_do_so_twice_alike(self) -> None:
        handler = self.handler()
        system = (TextBlock(text="Be brief."),)

        def converted() -> list[bytes]:
            parts: list[Sequence[msgspec.Struct]] = [
                handler.prepare_system(system, ModelTraits()),
                handler.convert_to_provider_messages(CONVERSATION),
                handler.prepare_tools((LOOK_UP,)),
            ]
            assert all(part for part in parts)
            return [msgspec.json.encode(part) for part in parts]

        assert converted() == converted()

    def test_conversions_leave_their_input_as_it_was(self) -> None:
        before = repr(CONVERSATION)
        messages = list(CONVERSATION)
        self.handler().convert_to_provider_messages(messages)
        assert messages == list(CONVERSATION)
        assert repr(CONVERSATION) == before

    def test_what_is_said_in_a_conversation_is_still_there_after_conversion(self) -> None:
        encoded = msgspec.json.encode(self.handler().convert_to_provider_messages(CONVERSATION)).decode()
        said = [
            "Where is Oslo?",
            "I look.",
            "in Norway",
            "no such city",
            "And this?",
            "call_1",
            "iVBORw0KGgo=",
        ]
        assert [text for text in said if text not in encoded] == []

    def test_instructions_and_tools_are_still_there_after_conversion(self) -> None:
        handler = self.handler()
        system = msgspec.json.encode(handler.prepare_system((TextBlock(text="Be brief."),), ModelTraits()))
        assert b"Be brief." in system
        tools = msgspec.json.encode(handler.prepare_tools((LOOK_UP,)))
        assert b"look_up" in tools
        assert b'"required":["city"]' in tools

    def test_a_tools_silence_is_put_into_words(self) -> None:
        result = self.handler().make_tool_result("call_1", ToolOutcome())
        assert result.tool_use_id == "call_1"
        assert result.content == (TextBlock(text="system: Tool returned no output."),)


class AnswerContract:
    """Answers as they stream."""

    def harness(self) -> AbstractAsyncContextManager[Harness]:
        raise NotImplementedError

    @pytest.mark.parametrize("stream", [True, False])
    async def test_events_keep_their_order(self, *, stream: bool) -> None:
        with anyio.fail_after(5):
            async with self.harness() as harness:
                harness.say("Hello", " you", " there")
                events = await events_of_call(harness, call_for(harness, stream=stream))
        assert_in_order(events)

    async def test_the_unary_answer_is_the_fold_of_the_stream(self) -> None:
        with anyio.fail_after(5):
            async with self.harness() as harness:
                harness.say("Hello", " you")
                streamed = await generation_of(harness, stream=True)
                harness.say("Hello", " you")
                unary = await generation_of(harness, stream=False)
        assert text_of(streamed.content) == "Hello you"
        assert streamed.content == unary.content
        assert streamed.stop_reason == unary.stop_reason == "end_turn"
        assert streamed.usage == unary.usage

    async def test_an_answer_that_is_over_stays_over(self) -> None:
        with anyio.fail_after(5):
            async with self.harness() as harness:
                harness.say("Hello")
                async with harness.handler.call_api(call_for(harness)) as answer:
                    assert [event async for event in answer]
                    assert [event async for event in answer] == []

    async def test_leaving_an_answer_early_reaches_the_upstream(self) -> None:
        with anyio.fail_after(5):
            async with self.harness() as harness:
                harness.hold_after("Hello")
                async with harness.handler.call_api(call_for(harness)) as answer:
                    assert isinstance(await anext(answer), GenerationStarted)
                await harness.left()

    async def test_cancelling_a_waiting_reader_reaches_the_upstream(self) -> None:
        with anyio.fail_after(5):
            async with self.harness() as harness:
                harness.hold_after("Hello")
                async with anyio.create_task_group() as tasks:
                    started = anyio.Event()
                    tasks.start_soon(_read_for_ever, harness, started)
                    await started.wait()
                    tasks.cancel_scope.cancel()
                await harness.left()

    async def test_after_an_answer_that_was_left_the_next_one_is_whole(self) -> None:
        with anyio.fail_after(5):
            async with self.harness() as harness:
                harness.hold_after("Hello")
                async with harness.handler.call_api(call_for(harness)) as answer:
                    await anext(answer)
                harness.say("Again")
                generation = await generation_of(harness, stream=True)
        assert text_of(generation.content) == "Again"

    async def test_an_answer_has_the_upstreams_id(self) -> None:
        with anyio.fail_after(5):
            async with self.harness() as harness:
                harness.say("Hello")
                async with harness.handler.call_api(call_for(harness)) as answer:
                    assert answer.upstream_request_id


class FailureContract:
    """Tool calls, and what goes wrong."""

    def failing_harness(self) -> AbstractAsyncContextManager[FailingHarness]:
        raise NotImplementedError

    @pytest.mark.parametrize("stream", [True, False])
    async def test_a_tool_call_keeps_its_arguments(self, *, stream: bool) -> None:
        with anyio.fail_after(5):
            async with self.failing_harness() as harness:
                harness.call_tool("look_up", '{"city":"Oslo"}')
                generation = await generation_of(harness, stream=stream)
        (block,) = generation.content
        assert isinstance(block, ToolUseBlock)
        assert (block.name, bytes(block.input)) == ("look_up", b'{"city":"Oslo"}')
        assert block.id
        assert generation.stop_reason == "tool_use"

    @pytest.mark.parametrize("stream", [True, False])
    async def test_arguments_that_are_no_json_are_kept_and_marked(self, *, stream: bool) -> None:
        with anyio.fail_after(5):
            async with self.failing_harness() as harness:
                harness.call_tool("look_up", '{"city": Oslo')
                generation = await generation_of(harness, stream=stream)
        (block,) = generation.content
        assert isinstance(block, ToolUseBlock)
        assert bytes(block.input) == b"{}"
        assert block.extra is not None
        assert msgspec.json.decode(block.extra["invalid_arguments"]) == '{"city": Oslo'

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(
        "status, kind",
        [
            (401, UpstreamAuthentication),
            (429, UpstreamRateLimited),
            (500, UpstreamServerError),
            (503, UpstreamOverloaded),
        ],
    )
    async def test_a_refusal_is_raised_on_entering(
        self, status: int, kind: type[UpstreamError], *, stream: bool
    ) -> None:
        entered = False
        with anyio.fail_after(5):
            async with self.failing_harness() as harness:
                harness.fail(status, retry_after_s=7)
                with pytest.raises(UpstreamError) as refused:
                    async with harness.handler.call_api(call_for(harness, stream=stream)):
                        entered = True
        assert not entered
        assert type(refused.value) is kind
        assert refused.value.upstream_status == status
        assert refused.value.retry_after_s == 7
        assert refused.value.provider == "subject"

    async def test_a_cut_stream_is_never_complete(self) -> None:
        events: list[GenerationEvent] = []
        with anyio.fail_after(5):
            async with self.failing_harness() as harness:
                harness.cut_after("Hello")
                with pytest.raises(StreamIncomplete) as cut:
                    await _read_into(events, harness)
        assert isinstance(events[0], GenerationStarted)
        assert not any(isinstance(event, GenerationStopped) for event in events)
        assert cut.value.provider == "subject"

    async def test_calls_at_the_same_time_keep_apart(self) -> None:
        with anyio.fail_after(5):
            async with self.failing_harness() as harness, anyio.create_task_group() as tasks:
                results: dict[str, str] = {}
                for number in range(8):
                    tasks.start_soon(_echoed, harness, f"canary-{number}", results)
        assert results == {f"canary-{n}": f"echo: canary-{n}" for n in range(8)}


async def _read_into(events: list[GenerationEvent], harness: Harness) -> None:
    """Unlike a comprehension, keeps what came before an error."""
    async with harness.handler.call_api(call_for(harness)) as answer:
        async for event in answer:
            events.append(event)  # noqa: PERF401


async def _read_for_ever(harness: Harness, started: anyio.Event) -> None:
    async with harness.handler.call_api(call_for(harness)) as answer:
        async for _ in answer:
            started.set()


async def _echoed(harness: Harness, text: str, results: dict[str, str]) -> None:
    generation = fold(await events_of_call(harness, call_for(harness, text)))
    results[text] = text_of(generation.content)
