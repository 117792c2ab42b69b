"""The real model in this process: SmolLM2 on llama.cpp."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import GenerationStarted, GenerationStopped, TextDelta
from callboard.domain.fold import Fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import Message, text_of, tool_uses, user_text
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import ConfigurationError, ContextTooLong, UpstreamError
from callboard.providers.handler import ProviderCall, ProviderHandler
from callboard.providers.local import LocalHandler
from callboard.providers.local_model import LocalModel, default_threads, locate
from callboard.providers.settings import ProviderSettings

pytestmark = pytest.mark.anyio

WEATHER = ToolDefinition(
    name="get_weather",
    description="Get the weather in a city.",
    input_schema=Raw(
        b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
    ),
)
ADD = ToolDefinition(
    name="add",
    description="Add two numbers.",
    input_schema=Raw(
        b'{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"],'
        b'"additionalProperties":false}'
    ),
)


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The thread and its channel are anyio's; two back ends show that they work on each kind."""
    return request.param


@asynccontextmanager
async def local(slots: int = 2, context: int = 2048) -> AsyncIterator[LocalHandler]:
    options = {"slots": slots, "context": context, "threads": 1}
    handler = LocalHandler(ProviderSettings(name="local", kind="local", options=options))
    with anyio.fail_after(60):
        async with handler.initialize_client():
            yield handler


def asked(*messages: Message, tools: tuple[ToolDefinition, ...] = (), **more: object) -> ProviderCall:
    request = GenerationRequest(model="smollm2", messages=messages, tools=tools)
    return ProviderCall(request=replace(request, **more), upstream_name="SmolLM2")


async def answer(handler: LocalHandler, call: ProviderCall) -> Generation:
    fold = Fold()
    async with handler.call_api(call) as events:
        async for event in events:
            fold.apply(event)
    return fold.result()


async def test_it_answers_streams_and_counts() -> None:
    async with local() as handler:
        async with handler.call_api(asked(user_text("What is the capital of France?"))) as stream:
            events = [event async for event in stream]
        again = await answer(handler, asked(user_text("What is the capital of France?")))
    assert isinstance(events[0], GenerationStarted)
    assert isinstance(events[-1], GenerationStopped)
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(deltas) > 3
    assert "Paris" in "".join(deltas)
    assert text_of(again.content) == "".join(deltas)
    assert again.model == "SmolLM2"
    assert again.usage is not None
    assert again.usage.prompt_tokens > 10
    assert again.usage.output_tokens == len(deltas) + 1


async def test_a_required_tool_is_called_with_arguments_of_its_schema_and_its_result_is_used() -> None:
    question = user_text("What is the weather in Paris?")
    async with local() as handler:
        called = await answer(
            handler, asked(question, tools=(WEATHER, ADD), tool_choice=ToolChoice(mode="required"))
        )
        said = Message(role="assistant", content=called.content)
        (call,) = tool_uses(said)
        result = ToolResultBlock(
            tool_use_id=call.id, content=(TextBlock(text="18 degrees and sunny in Paris"),)
        )
        final = await answer(
            handler, asked(question, said, Message(role="user", content=(result,)), tools=(WEATHER, ADD))
        )
    assert called.stop_reason == "tool_use"
    assert (call.name, b"Paris" in bytes(call.input)) == ("get_weather", True)
    assert "18 degrees" in text_of(final.content)


async def test_a_named_tool_is_the_one_that_is_called() -> None:
    choice = ToolChoice(mode="tool", name="add")
    async with local() as handler:
        called = await answer(
            handler, asked(user_text("What is 17 + 25?"), tools=(WEATHER, ADD), tool_choice=choice)
        )
    (call,) = (block for block in called.content if isinstance(block, ToolUseBlock))
    assert call.name == "add"
    assert b"17" in bytes(call.input)


async def test_left_to_choose_it_may_call_and_may_answer() -> None:
    async with local() as handler:
        called = await answer(handler, asked(user_text("What is the weather in Paris?"), tools=(WEATHER,)))
        none = ToolChoice(mode="none")
        answered = await answer(handler, asked(user_text("Say hello."), tools=(WEATHER,), tool_choice=none))
    assert called.stop_reason in {"tool_use", "end_turn", "max_tokens"}
    assert answered.stop_reason != "tool_use"


async def test_leaving_early_frees_the_slot() -> None:
    story = asked(user_text("Tell me a very long story."), max_output_tokens=1500)
    async with local(slots=1) as handler:
        for _ in range(3):
            async with handler.call_api(story) as stream:
                async for event in stream:
                    if isinstance(event, TextDelta):
                        break
        after = await answer(handler, asked(user_text("What is the capital of France?")))
    assert "Paris" in text_of(after.content)


async def test_a_cancelled_call_frees_the_slot() -> None:
    async with local(slots=1) as handler:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, handler, asked(user_text("Tell me a story."), max_output_tokens=1500))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        after = await answer(handler, asked(user_text("What is the capital of France?")))
    assert "Paris" in text_of(after.content)


async def test_two_calls_run_side_by_side() -> None:
    answers: list[str] = []
    async with local() as handler:

        async def ask(country: str) -> None:
            reply = await answer(handler, asked(user_text(f"What is the capital of {country}?")))
            answers.append(text_of(reply.content))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "France")
            tasks.start_soon(ask, "Germany")
    assert sorted("Paris" in each for each in answers) == [False, True]
    assert sorted("Berlin" in each for each in answers) == [False, True]


async def test_a_prompt_beyond_the_window_is_refused_with_its_size() -> None:
    async with local(context=512) as handler:
        with pytest.raises(ContextTooLong, match="the model's window is 512"):
            await answer(handler, asked(user_text("word " * 2000)))


async def test_the_token_limit_cuts_the_answer_and_says_so() -> None:
    async with local() as handler:
        cut = await answer(handler, asked(user_text("Tell me a story."), max_output_tokens=5))
    assert cut.stop_reason == "max_tokens"


def test_unknown_options_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="gpu"):
        LocalHandler(ProviderSettings(name="local", kind="local", options={"gpu": 1}))


def test_it_is_a_whole_handler() -> None:
    assert isinstance(LocalHandler(ProviderSettings(name="local", kind="local")), ProviderHandler)


async def test_a_caller_that_waits_for_a_slot_can_leave_at_once() -> None:
    story = asked(user_text("Tell me a very long story."), max_output_tokens=1500)
    async with local(slots=1) as handler, handler.call_api(story):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, handler, asked(user_text("Hello.")))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert handler.model.running == 1  # still the story, which nobody reads


async def test_a_refusal_is_raised_on_entering() -> None:
    async with local(context=512) as handler:
        with pytest.raises(ContextTooLong):
            async with handler.call_api(asked(user_text("word " * 2000))):
                pytest.fail("entered")


async def test_its_loopback_port_answers_nobody() -> None:
    async with local() as handler:
        await answer(handler, asked(user_text("Hello.")))
        url = handler.model.address
        assert await anyio.to_thread.run_sync(_status, f"{url}/v1/models") == 401


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r'pip install "callboard\[local\]"'):
        locate("no_such_package_at_all")


async def test_a_file_that_is_no_model_is_an_upstream_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" * 100)
    model = LocalModel(broken, slots=1)
    with anyio.fail_after(60):
        async with model.opened():
            with pytest.raises(UpstreamError, match=r"broken\.gguf could not be loaded"):
                async with model.generate({"messages": []}):
                    pytest.fail("entered")
    assert not model.loaded


def test_it_leaves_processors_for_others() -> None:
    assert 1 <= default_threads() <= 4
