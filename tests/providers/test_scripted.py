"""The scripted provider."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import msgspec
import pytest

from callboard.domain.delta import GenerationEvent, TextDelta, ThinkingDelta
from callboard.domain.fold import fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import text_of, user_text
from callboard.domain.usage import Usage
from callboard.errors import ConfigurationError, StreamIncomplete, UpstreamError, UpstreamQuota
from callboard.providers.handler import ProviderCall, ProviderHandler
from callboard.providers.script import Cut, Fail, Hold, Pause, Reply, Script, Text, Thinking, Tool
from callboard.providers.scripted import ERRORS, RECORDED_CALLS, ScriptedHandler
from callboard.providers.settings import ProviderSettings
from tests.contracts.provider import (
    AnswerContract,
    ConversionContract,
    FailingHarness,
    FailureContract,
    Harness,
)

pytestmark = pytest.mark.anyio

STATUS_ERRORS = {401: "upstream_authentication", 429: "upstream_rate_limited", 500: "upstream_server_error"}


def settings(**options: object) -> ProviderSettings:
    return ProviderSettings(name="subject", kind="scripted", options=options)


def scripted(*replies: Reply, then: str = "echo") -> ScriptedHandler:
    script = msgspec.convert({"then": then}, Script)
    return ScriptedHandler(settings(), script=msgspec.structs.replace(script, replies=replies))


def call(text: str = "Hi") -> ProviderCall:
    request = GenerationRequest(model="any", messages=(user_text(text),))
    return ProviderCall(request=request, upstream_name="demo-1")


async def answered(handler: ScriptedHandler, text: str = "Hi") -> Generation:
    with anyio.fail_after(5):
        async with handler.call_api(call(text)) as answer:
            return fold([event async for event in answer])


async def said(handler: ScriptedHandler, text: str = "Hi") -> str:
    return text_of((await answered(handler, text)).content)


class ScriptedHarness:
    """Each thing said to it becomes the script of a new handler behind one face."""

    model = "demo-1"

    def __init__(self) -> None:
        self.handler: ScriptedHandler = scripted()
        self._held: list[ScriptedHandler] = []

    def say(self, *texts: str) -> None:
        self.handler = scripted(Reply(steps=tuple(Text(text=text, whole=True) for text in texts)))

    def hold_after(self, text: str) -> None:
        self.handler = scripted(Reply(steps=(Text(text=text), Hold(gate="for ever"))))
        self._held.append(self.handler)

    async def left(self) -> None:
        assert [handler.open_answers for handler in self._held] == [0]

    def call_tool(self, name: str, arguments: str) -> None:
        self.handler = scripted(Reply(steps=(Tool(name=name, arguments_text=arguments),)))

    def fail(self, status: int, *, retry_after_s: int | None = None) -> None:
        error = STATUS_ERRORS.get(status, "upstream_overloaded")
        self.handler = scripted(Reply(steps=(Fail(error=error, status=status, retry_after_s=retry_after_s),)))

    def cut_after(self, text: str) -> None:
        self.handler = scripted(Reply(steps=(Text(text=text), Cut())))


@asynccontextmanager
async def open_harness() -> AsyncIterator[ScriptedHarness]:
    harness = ScriptedHarness()
    async with harness.handler.initialize_client():
        yield harness


class TestConversions(ConversionContract):
    def handler(self) -> ProviderHandler:
        return scripted()


class TestAnswers(AnswerContract):
    def harness(self) -> AbstractAsyncContextManager[Harness]:
        return open_harness()


class TestFailures(FailureContract):
    def failing_harness(self) -> AbstractAsyncContextManager[FailingHarness]:
        return open_harness()


async def test_without_a_script_it_echoes_the_last_user_text_word_by_word() -> None:
    handler = scripted()
    async with handler.call_api(call("how  are you")) as answer:
        deltas = [event.text async for event in answer if isinstance(event, TextDelta)]
    assert deltas == ["echo: ", "how  ", "are ", "you"]


async def test_replies_come_in_order_and_then_the_echo() -> None:
    handler = scripted(Reply(steps=(Text(text="one"),)), Reply(steps=(Text(text="two"),)))
    assert [await said(handler) for _ in range(3)] == ["one", "two", "echo: Hi"]


async def test_a_script_may_begin_again() -> None:
    handler = scripted(Reply(steps=(Text(text="one"),)), Reply(steps=(Text(text="two"),)), then="repeat")
    assert [await said(handler) for _ in range(3)] == ["one", "two", "one"]


async def test_text_that_goes_on_stays_in_one_block_and_thinking_has_its_own() -> None:
    steps = (Thinking(thinking="hm hm"), Text(text="a", whole=True), Text(text="b", whole=True))
    generation = await answered(scripted(Reply(steps=steps)))
    assert len(generation.content) == 2
    assert text_of(generation.content) == "ab"
    assert generation.usage == Usage(input_tokens=1, output_tokens=4, reasoning_tokens=2)


async def test_tools_called_side_by_side_are_told_apart() -> None:
    steps = (Tool(name="look_up", arguments={"n": 1}), Tool(name="look_up", arguments={"n": 2}, id="mine"))
    generation = await answered(scripted(Reply(steps=steps)))
    blocks = msgspec.json.decode(msgspec.json.encode(generation.content))
    assert [block["id"] for block in blocks] == ["call_0_0", "mine"]
    assert [block["input"] for block in blocks] == [{"n": 1}, {"n": 2}]
    assert generation.stop_reason == "tool_use"


@pytest.mark.parametrize(
    "usage, expected",
    [
        pytest.param(
            Usage(input_tokens=9, output_tokens=8), Usage(input_tokens=9, output_tokens=8), id="given"
        ),
        pytest.param("none", None, id="none"),
        pytest.param("count", Usage(input_tokens=1, output_tokens=2), id="a token a word"),
    ],
)
async def test_usage_is_reported_as_scripted(usage: object, expected: Usage | None) -> None:
    reply = msgspec.convert({"usage": msgspec.to_builtins(usage)}, Reply)
    reply = msgspec.structs.replace(reply, steps=(Text(text="two words"),), stop_reason="max_tokens")
    generation = await answered(scripted(reply))
    assert generation.usage == expected
    assert generation.stop_reason == "max_tokens"


async def test_a_gate_holds_the_answer_until_it_is_opened() -> None:
    handler = scripted(Reply(steps=(Text(text="a"), Hold(gate="middle"), Text(text="b"))))
    seen: list[GenerationEvent] = []

    async def read() -> None:
        async with handler.call_api(call()) as answer:
            async for event in answer:
                seen.append(event)  # noqa: PERF401 - looked at while it grows

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await handler.gates["middle"].reached.wait()
            assert [event.text for event in seen if isinstance(event, TextDelta)] == ["a"]
            assert handler.open_answers == 1
            handler.gates["middle"].opened.set()
    assert [event.text for event in seen if isinstance(event, TextDelta)] == ["a", "b"]
    assert handler.open_answers == 0


async def test_pauses_are_the_injected_clocks() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    steps = (Pause(seconds=60.0), Text(text="two words", pause_s=0.5))
    handler = ScriptedHandler(settings(), script=Script(replies=(Reply(steps=steps),)), sleep=sleep)
    async with handler.call_api(call()) as answer:
        assert waits == [60.0]
        assert [event async for event in answer]
    assert waits == [60.0, 0.5, 0.5]


@pytest.mark.parametrize("kind", sorted(ERRORS))
async def test_any_upstream_error_can_be_scripted(kind: str) -> None:
    step = Fail(error=kind, message="no", status=418, code="teapot", retry_after_s=2.5)
    with pytest.raises(UpstreamError, match="no") as refused:
        await answered(scripted(Reply(steps=(step,))))
    error = refused.value
    assert error.type == kind
    assert (error.upstream_status, error.upstream_code, error.retry_after_s) == (418, "teapot", 2.5)


async def test_a_failure_after_a_delta_comes_after_the_delta() -> None:
    handler = scripted(Reply(steps=(Thinking(thinking="hm"), Fail(error="upstream_quota"))))
    async with handler.call_api(call()) as answer:
        await anext(answer)
        await anext(answer)
        assert isinstance(await anext(answer), ThinkingDelta)
        with pytest.raises(UpstreamQuota):
            await anext(answer)


async def test_an_answer_that_is_cut_before_it_began_is_incomplete() -> None:
    with pytest.raises(StreamIncomplete):
        await answered(scripted(Reply(steps=(Cut(),))))


async def test_calls_are_kept_for_the_tests_to_look_at_but_not_for_ever() -> None:
    handler = scripted()
    for number in range(RECORDED_CALLS + 5):
        async with handler.call_api(call(str(number))):
            pass
    assert len(handler.calls) == RECORDED_CALLS
    assert text_of(handler.calls[-1].request.messages[-1].content) == str(RECORDED_CALLS + 4)


async def test_a_script_is_read_from_the_configuration() -> None:
    steps = [
        {"do": "text", "text": "Hello "},
        {"do": "tool", "name": "look_up", "arguments": {"city": "Oslo"}},
    ]
    options = {"script": {"replies": [{"steps": steps}], "then": "repeat"}}
    handler = ScriptedHandler(settings(**options))
    generation = await answered(handler)
    assert text_of(generation.content) == "Hello "
    assert generation.stop_reason == "tool_use"


@pytest.mark.parametrize(
    "script, message",
    [
        pytest.param({"replys": []}, "unknown field `replys`", id="unknown field"),
        pytest.param({"replies": [{"steps": [{"do": "dance"}]}]}, "dance", id="unknown step"),
        pytest.param({"replies": [{"steps": [{"do": "text", "txt": "x"}]}]}, "txt", id="misspelt field"),
        pytest.param(
            {"replies": [{"steps": [{"do": "fail", "error": "oops"}]}]},
            "no error is called 'oops'; there are: ",
            id="unknown error",
        ),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(script: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match="provider 'subject': ") as refused:
        ScriptedHandler(settings(script=script))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
