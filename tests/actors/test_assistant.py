"""Turns through the real actors over a scripted model."""

from __future__ import annotations

import anyio
import pytest
from msgspec import Raw

import callboard
from callboard.actors.assistant import Assistant
from callboard.actors.rate_limiter import Accounts
from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.delta import BlockStarted, GenerationStarted, GenerationStopped, TextDelta
from callboard.domain.estimate import prompt_tokens
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message, text_of, tool_results, tool_uses, user_text
from callboard.domain.pairing import check
from callboard.domain.turn import ToolFinished, ToolStarted
from callboard.errors import (
    CallboardError,
    ContextTooLong,
    InvalidRequest,
    StreamIncomplete,
    UnknownAssistant,
    UnknownModel,
    UnknownResponse,
    UpstreamInvalid,
)
from callboard.providers.script import Cut, Fail, Hold, Reply, Script, Text, Tool
from callboard.runtime import Runtime
from tests.fakes.company import Stage, company, replies

pytestmark = pytest.mark.anyio


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


async def settled(runtime: Runtime) -> Accounts:
    """The accounts once every attempt is closed; closing is told, not asked, so it is a moment behind."""
    accounts = await runtime.accounts()
    while accounts.tokens.open:
        await anyio.lowlevel.checkpoint()
        accounts = await runtime.accounts()
    return accounts


def call_add(id: str = "c1", a: float = 17, b: float = 25) -> Tool:
    return Tool(name="add", id=id, arguments={"a": a, "b": b})


async def test_an_assistant_answers() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=replies([Text(text="Paris.")]))) as runtime:
            reply = await runtime.ask("default", "What is the capital of France?")
    assert reply.text == "Paris."
    assert reply.stop_reason == "end_turn"
    assert reply.usage.output_tokens == 1


async def test_nobody_is_refused_for_asking_in_the_same_instant_as_many_others() -> None:
    crowd = Assistant.mailbox.capacity + 50
    answered = 0
    limits = {"limits": {"requests_per_minute": 10 * crowd, "parallel": crowd}}
    script = Script(replies=replies([Text(text="yes")]).replies, then="repeat")

    async def ask(runtime: Runtime) -> None:
        nonlocal answered
        await runtime.ask("default", "hi")
        answered += 1

    with anyio.fail_after(30):
        async with company(Stage(demo=script), config=limits) as runtime, anyio.create_task_group() as tasks:
            for _ in range(crowd):
                tasks.start_soon(ask, runtime)
    assert answered == crowd


async def test_a_tool_runs_and_its_result_reaches_the_model() -> None:
    stage = Stage(demo=replies([call_add()], [Text(text="It is 42.")]))
    with anyio.fail_after(5):
        async with company(stage, tools=[add]) as runtime:
            reply = await runtime.ask("default", "What is 17 + 25?")
    assert reply.text == "It is 42."
    assert [(run.call.name, text_of(run.result.content)) for run in reply.tool_runs] == [("add", "42.0")]
    second = stage.handlers["demo"].calls[1].request
    assert text_of(tool_results(second.messages[-1])[0].content) == "42.0"


@callboard.tool
def recite() -> str:
    """Say far too much."""
    return "x" * 1_000_000


async def test_a_result_that_is_too_long_is_cut_before_the_model_reads_it() -> None:
    stage = Stage(demo=replies([Tool(name="recite", id="c1")], [Text(text="done")]))
    with anyio.fail_after(5):
        async with company(stage, tools=[recite]) as runtime:
            reply = await runtime.ask("default", "go")
    text = text_of(reply.tool_runs[0].result.content)
    assert len(text) < 300_000
    assert text.endswith("[737856 bytes of this result were cut]")


async def test_parallel_calls_come_back_in_one_message_in_order() -> None:
    stage = Stage(demo=replies([call_add("c1", 1, 1), call_add("c2", 2, 2)], [Text(text="done")]))
    with anyio.fail_after(5):
        async with company(stage, tools=[add]) as runtime:
            await runtime.ask("default", "go")
    last = stage.handlers["demo"].calls[1].request.messages[-1]
    assert [(each.tool_use_id, text_of(each.content)) for each in tool_results(last)] == [
        ("c1", "2.0"),
        ("c2", "4.0"),
    ]


async def test_the_stream_is_one_generation_over_all_rounds() -> None:
    stage = Stage(demo=replies([Text(text="Let me see. "), call_add()], [Text(text="It is 42.")]))
    with anyio.fail_after(5):
        async with (
            company(stage, tools=[add]) as runtime,
            runtime.stream("default", "What is 17 + 25?") as stream,
        ):
            events = [event async for event in stream]
    assert isinstance(events[0], GenerationStarted)
    assert isinstance(events[-1], GenerationStopped)
    assert sum(isinstance(event, GenerationStarted | GenerationStopped) for event in events) == 2
    assert [event.index for event in events if isinstance(event, BlockStarted)] == [0, 1]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Let me see. It is 42."
    tools = [event for event in events if isinstance(event, ToolStarted | ToolFinished)]
    assert [type(event) for event in tools] == [ToolStarted, ToolFinished]


async def test_an_unknown_tool_is_answered_with_the_known_ones_and_the_model_goes_on() -> None:
    stage = Stage(demo=replies([Tool(name="subtract", id="c1")], [Text(text="Sorry.")]))
    with anyio.fail_after(5):
        async with company(stage, tools=[add]) as runtime:
            reply = await runtime.ask("default", "go")
    result = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])[0]
    assert result.is_error
    assert text_of(result.content) == "There is no tool named 'subtract'. The available tools are: add."
    assert reply.text == "Sorry."


@pytest.mark.parametrize("arguments", ['{"a": 1', "[]", '{"a": "x", "b": 2}', '{"a": 1}'])
async def test_arguments_that_do_not_fit_go_back_to_the_model(arguments: str) -> None:
    bad = Tool(name="add", id="c1", arguments_text=arguments)
    stage = Stage(demo=replies([bad], [Text(text="I will try again.")]))
    with anyio.fail_after(5):
        async with company(stage, tools=[add]) as runtime:
            reply = await runtime.ask("default", "go")
    assert reply.tool_runs[0].result.is_error
    assert reply.text == "I will try again."


async def test_a_model_that_only_calls_tools_is_stopped_by_the_rounds_limit() -> None:
    stage = Stage(demo=Script(replies=(Reply(steps=(call_add(),)),), then="repeat"))
    limited = {"assistants": {"default": {"model": "demo-model", "max_rounds": 3}}}
    with anyio.fail_after(5):
        async with company(stage, tools=[add], config=limited) as runtime:
            reply = await runtime.ask("default", "go")
    assert len(reply.tool_runs) == 3
    assert len(stage.handlers["demo"].calls) == 4
    assert reply.stop_reason == "max_tokens"


async def test_a_turn_follows_the_one_it_names() -> None:
    stage = Stage(demo=replies([Text(text="Hello, Ada.")], [Text(text="Ada.")]))
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            first = await runtime.ask("default", "I am Ada.")
            await runtime.ask("default", "Who am I?", previous_response_id=first.response_id)
    said = stage.handlers["demo"].calls[1].request.messages
    assert [text_of(message.content) for message in said] == ["I am Ada.", "Hello, Ada.", "Who am I?"]


async def test_what_does_not_exist_is_refused_by_name() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            with pytest.raises(UnknownAssistant, match="'nobody' is not configured; there are: default"):
                await runtime.ask("nobody", "hi")
            with pytest.raises(UnknownResponse):
                await runtime.ask("default", "hi", previous_response_id="resp_0")
            with pytest.raises(UnknownModel, match="did you mean 'demo-model'"):
                await runtime.ask("default", "hi", model="demo-modell")


async def test_half_a_character_is_refused_before_anything_is_sent() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            with pytest.raises(InvalidRequest, match="lone surrogate at position 2"):
                await runtime.ask("default", "hi\ud800")
    assert not stage.handlers["demo"].calls


async def test_a_failed_first_attempt_is_tried_again_before_anything_is_shown() -> None:
    stage = Stage(demo=replies([Fail(error="upstream_overloaded", status=503)], [Text(text="ok")]))
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            reply = await runtime.ask("default", "hi")
            accounts = await settled(runtime)
    assert reply.text == "ok"
    assert [line.outcome for line in accounts.recent] == ["failed", "completed"]
    assert [line.input_tokens > 0 for line in accounts.recent] == [False, True]


async def test_a_request_the_provider_finds_invalid_is_not_tried_again() -> None:
    stage = Stage(demo=replies([Fail(error="upstream_invalid_request", status=400)], [Text(text="never")]))
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            with pytest.raises(UpstreamInvalid):
                await runtime.ask("default", "hi")
    assert len(stage.handlers["demo"].calls) == 1


async def test_a_fallback_answers_where_the_first_provider_cannot() -> None:
    stage = Stage(
        demo=replies([Fail(error="upstream_authentication", status=401)]), other=replies([Text(text="other")])
    )
    models = {
        "demo-model": {"provider": "demo", "fallbacks": ["other-model"]},
        "other-model": {"provider": "other"},
    }
    with anyio.fail_after(5):
        async with company(stage, config={"models": models}) as runtime:
            reply = await runtime.ask("default", "hi")
    assert (reply.text, reply.model) == ("other", "other-model")


async def test_an_answer_that_is_cut_raises_after_what_came_and_is_never_tried_again() -> None:
    stage = Stage(demo=replies([Text(text="half an"), Cut()], [Text(text="never")]))
    seen = ""
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            with pytest.raises(StreamIncomplete):
                async with runtime.stream("default", "hi") as events:
                    async for event in events:
                        seen += event.text if isinstance(event, TextDelta) else ""
            accounts = await settled(runtime)
    assert seen == "half an"
    assert len(stage.handlers["demo"].calls) == 1
    assert [line.outcome for line in accounts.recent] == ["truncated"]
    assert accounts.tokens.open == 0


async def test_leaving_a_stream_closes_the_upstream_and_settles_the_attempt() -> None:
    stage = Stage(demo=replies([Text(text="once upon "), Hold(gate="middle"), Text(text="a time")]))
    handler = stage.handlers["demo"]
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            async with runtime.stream("default", "Tell me a story") as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
                assert handler.open_answers == 1
            accounts = await settled(runtime)
            assert handler.open_answers == 0
    assert [line.outcome for line in accounts.recent] == ["cancelled"]
    assert accounts.tokens.open == 0


async def test_instructions_go_first_and_history_is_not_changed_by_new_ones() -> None:
    stage = Stage(demo=Script())
    config = {"assistants": {"default": {"model": "demo-model", "instructions": "Be brief."}}}
    with anyio.fail_after(5):
        async with company(stage, config=config) as runtime:
            await runtime.ask("default", "hi")
    call: GenerationRequest = stage.handlers["demo"].calls[0].request
    assert [block.text for block in call.system] == ["Be brief."]


async def test_an_interrupted_conversation_is_repaired_before_it_is_sent() -> None:
    stage = Stage(demo=Script())
    broken = (
        user_text("go"),
        Message(role="assistant", content=(ToolUseBlock(id="c1", name="add", input=Raw(b"{}")),)),
        user_text("never mind"),
    )
    with anyio.fail_after(5):
        async with company(stage, tools=[add]) as runtime:
            await runtime.ask("default", broken)
    sent = stage.handlers["demo"].calls[0].request.messages
    assert [each.tool_use_id for each in tool_results(sent[2])] == [each.id for each in tool_uses(sent[1])]


@callboard.tool
def survey(place: str) -> str:
    """Say a good deal about a place."""
    return f"{place}: " + "trees and a little water. " * 120


NARROW = {
    "models": {
        "demo-model": {"provider": "demo", "context_window": 2500, "max_output_tokens": 500},
        "wide-model": {"provider": "demo"},
    },
    "assistants": {"default": {"model": "demo-model", "instructions": "Be brief."}},
}
BUDGET = 2000


async def test_a_long_conversation_goes_on_beyond_the_window() -> None:
    turns = range(12)
    calls = [
        [Tool(name="survey", id=f"c{number}", arguments={"place": f"place {number}"})] for number in turns
    ]
    answers = [[Text(text=f"I saw place {number}.")] for number in turns]
    stage = Stage(demo=replies(*(steps for pair in zip(calls, answers, strict=True) for steps in pair)))
    previous: str | None = None
    with anyio.fail_after(5):
        async with company(stage, tools=[survey], config=NARROW) as runtime:
            for number in turns:
                reply = await runtime.ask("default", f"Go to place {number}", previous_response_id=previous)
                assert reply.text == f"I saw place {number}."
                previous = reply.response_id
            await runtime.ask("default", "And now?", model="wide-model", previous_response_id=previous)
    *sent, last = [call.request for call in stage.handlers["demo"].calls]
    for at, request in enumerate(sent):
        number, answering = divmod(at, 2)
        assert prompt_tokens(request) <= BUDGET
        assert check(request.messages) is None
        assert [block.text for block in request.system] == ["Be brief."]
        assert text_of(request.messages[-3 if answering else -1].content) == f"Go to place {number}"
        if answering:
            found = tool_results(request.messages[-1])[0]
            assert text_of(found.content) == f"place {number}: " + "trees and a little water. " * 120
    assert "characters were cut here" in str(sent[5].messages)
    assert text_of(sent[-1].messages[0].content) not in {"", "Go to place 0"}
    # What was left out of a call is still there for a model that can take it.
    assert len(last.messages) == 4 * len(turns) + 1
    assert "were cut here" not in str(last.messages)


async def test_a_question_that_no_pruning_makes_fit_is_refused_before_anything_is_sent() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(5):
        async with company(stage, config=NARROW) as runtime:
            first = await runtime.ask("default", "hi")
            with pytest.raises(ContextTooLong, match="room for 2500"):
                await runtime.ask("default", "why? " * 2000, previous_response_id=first.response_id)
            # Over the budget, within the window: it takes of the answer's room.
            await runtime.ask("default", "why? " * 1800, previous_response_id=first.response_id)
    assert [len(call.request.messages) for call in stage.handlers["demo"].calls] == [1, 1]


async def test_who_keeps_his_conversation_himself_has_all_of_it_sent() -> None:
    stage = Stage(demo=Script())
    long = (
        user_text("why? " * 2000),
        Message(role="assistant", content=(TextBlock(text="Because. " * 2000),)),
        user_text("And?"),
    )
    with anyio.fail_after(5):
        async with company(stage, config=NARROW) as runtime:
            await runtime.generate("demo-model", long)
            await runtime.ask("default", long)
    generated, asked = (call.request.messages for call in stage.handlers["demo"].calls)
    assert generated == long
    assert asked[-1] == long[-1]
    assert len(str(asked)) < len(str(long))


async def test_the_four_lines_of_a_command_and_one_closing_line_are_logged() -> None:
    stage = Stage(demo=replies([call_add()], [Text(text="42")]))
    with anyio.fail_after(5):
        async with company(stage, tools=[add]) as runtime:
            await runtime.ask("default", "What is 17 + 25?")
    text = "\n".join(stage.lines())
    assert 'msg="processing command" ' in text
    assert 'msg="provider response" ' in text
    assert 'msg="executing tool" ' in text
    assert 'msg="command completed" ' in text
    assert text.count('msg="request closed"') == 1
    assert "17 + 25" not in text


async def test_two_hundred_turns_at_once_do_not_mix() -> None:
    stage = Stage(demo=Script())
    answers: dict[int, str] = {}
    with anyio.fail_after(20):
        async with company(stage) as runtime:

            async def turn(number: int) -> None:
                answers[number] = (await runtime.ask("default", f"number {number}")).text

            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(turn, number)
            accounts = await settled(runtime)
    assert answers == {number: f"echo: number {number}" for number in range(200)}
    assert accounts.tokens.open == 0


async def test_draining_refuses_new_turns_and_lets_live_ones_finish() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g"), Text(text="b")]))
    gate = stage.handlers["demo"].gates["g"]
    answers: list[str] = []
    with anyio.fail_after(5):
        async with company(stage) as runtime, anyio.create_task_group() as tasks:

            async def live() -> None:
                answers.append((await runtime.ask("default", "hi")).text)

            tasks.start_soon(live)
            await gate.reached.wait()
            tasks.start_soon(runtime.drain)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(CallboardError, match="stopping"):
                await runtime.ask("default", "too late")
            gate.opened.set()
    assert answers == ["a b"]
