"""The turn as a pure function: who runs which call, when it ends, and what history it leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from callboard.actors.turn import (
    Finish,
    Generate,
    RunTools,
    TurnPolicy,
    after_generation,
    after_tools,
    begin,
    resume,
    runs_here,
    waiting,
)
from callboard.domain.approval import Approval, marked
from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.generation import Generation, GenerationRequest, StopReason
from callboard.domain.message import Message, tool_results, tool_uses, user_text
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.domain.usage import Usage


def call(name: str, id: str = "c1") -> ToolUseBlock:
    return ToolUseBlock(id=id, name=name, input=Raw(b"{}"))


def answer(
    *blocks: TextBlock | ToolUseBlock, stop: StopReason = "end_turn", usage: Usage | None = None
) -> Generation:
    return Generation(id="g", model="m", content=blocks, stop_reason=stop, usage=usage)


def result(of: ToolUseBlock, text: str = "42") -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=of.id, content=(TextBlock(text=text),))


def start(
    *,
    own: tuple[str, ...] = ("add",),
    clients: tuple[str, ...] = (),
    choice: ToolChoice | None = None,
    max_rounds: int = 25,
    max_total_tokens: int | None = None,
    max_calls: int | None = None,
) -> Generate:
    tools = tuple(ToolDefinition(name=name) for name in (*own, *clients))
    request = GenerationRequest(model="m", messages=(user_text("hi"),), tools=tools, tool_choice=choice)
    policy = TurnPolicy(
        own_tools=frozenset(own),
        max_rounds=max_rounds,
        max_total_tokens=max_total_tokens,
        max_calls=max_calls,
    )
    return begin(request, policy)


def test_a_plain_answer_ends_the_turn_and_joins_the_history() -> None:
    step = after_generation(start().state, answer(TextBlock(text="hello")))
    assert isinstance(step, Finish)
    assert (step.stop_reason, step.reason) == ("end_turn", "answered")
    assert step.state.produced == (Message(role="assistant", content=(TextBlock(text="hello"),)),)


def test_an_empty_answer_ends_the_turn_without_an_empty_message() -> None:
    step = after_generation(start().state, answer())
    assert isinstance(step, Finish)
    assert step.state.produced == ()


def test_a_call_of_ours_is_run_and_its_result_goes_back_to_the_model() -> None:
    wanted = call("add")
    step = after_generation(start().state, answer(wanted, stop="tool_use"))
    assert isinstance(step, RunTools)
    assert step.calls == (wanted,)
    following = after_tools(step, (result(wanted),))
    assert isinstance(following, Generate)
    assert [message.role for message in following.state.request.messages] == ["user", "assistant", "user"]


def test_stop_reason_end_turn_with_calls_still_runs_them() -> None:
    step = after_generation(start().state, answer(call("add"), stop="end_turn"))
    assert isinstance(step, RunTools)


def test_a_call_of_the_clients_ends_the_turn_and_is_left_open() -> None:
    step = after_generation(start(clients=("shell",)).state, answer(call("shell"), stop="tool_use"))
    assert isinstance(step, Finish)
    assert (step.stop_reason, step.reason) == ("tool_use", "client_tools")
    assert tool_results(step.state.produced[-1]) == ()


def test_of_a_mixed_answer_ours_are_run_and_the_clients_go_back() -> None:
    ours, theirs = call("add", "c1"), call("shell", "c2")
    step = after_generation(start(clients=("shell",)).state, answer(ours, theirs, stop="tool_use"))
    assert isinstance(step, RunTools)
    assert (step.calls, step.awaiting) == ((ours,), (theirs,))
    following = after_tools(step, (result(ours),))
    assert isinstance(following, Finish)
    assert (following.stop_reason, following.reason) == ("tool_use", "client_tools")
    assert [each.tool_use_id for each in tool_results(following.state.produced[-1])] == ["c1"]


def test_a_call_of_nobodys_tool_is_answered_here() -> None:
    step = after_generation(start().state, answer(call("nonsense"), stop="tool_use"))
    assert isinstance(step, RunTools)
    assert runs_here(step.state, call("nonsense"))


@pytest.mark.parametrize("stop", ["max_tokens", "refusal"])
def test_calls_of_an_answer_cut_short_are_never_run(stop: StopReason) -> None:
    step = after_generation(start().state, answer(call("add"), stop=stop))
    assert isinstance(step, Finish)
    assert (step.stop_reason, step.reason) == (stop, "cut_short")
    assert tool_results(step.state.produced[-1])[0].is_error


@pytest.mark.parametrize("mode", ["required", "tool"])
def test_a_forced_choice_holds_for_the_first_round_only(mode: str) -> None:
    choice = ToolChoice(mode="required") if mode == "required" else ToolChoice(mode="tool", name="add")
    first = start(choice=choice)
    assert first.state.request.tool_choice == choice
    step = after_generation(first.state, answer(call("add"), stop="tool_use"))
    assert isinstance(step, RunTools)
    following = after_tools(step, (result(call("add")),))
    assert isinstance(following, Generate)
    assert following.state.request.tool_choice is None


@pytest.mark.parametrize("max_rounds", [1, 2, 25])
def test_after_the_last_round_the_model_is_asked_once_more_without_tools(max_rounds: int) -> None:
    step: Generate | RunTools | Finish = start(max_rounds=max_rounds)
    generations = rounds = 0
    while not isinstance(step, Finish):
        if isinstance(step, Generate):
            generations += 1
            withheld = step.state.request.tool_choice == ToolChoice(mode="none")
            assert withheld == (rounds == max_rounds)
            step = after_generation(step.state, answer(call("add", f"c{generations}"), stop="tool_use"))
        else:
            rounds += 1
            step = after_tools(step, tuple(result(each) for each in step.calls))
    assert (generations, rounds) == (max_rounds + 1, max_rounds)
    assert (step.stop_reason, step.reason) == ("max_tokens", "max_rounds")
    assert_paired(step.state.request.messages)


def test_the_token_limit_ends_the_turn_after_the_tools() -> None:
    used = Usage(input_tokens=60, output_tokens=50)
    step = after_generation(
        start(max_total_tokens=100).state, answer(call("add"), stop="tool_use", usage=used)
    )
    assert isinstance(step, RunTools)
    following = after_tools(step, (result(call("add")),))
    assert isinstance(following, Finish)
    assert following.reason == "token_limit"


def test_usage_is_summed_over_the_rounds() -> None:
    first = after_generation(
        start().state, answer(call("add"), stop="tool_use", usage=Usage(input_tokens=3, output_tokens=2))
    )
    assert isinstance(first, RunTools)
    second = after_tools(first, (result(call("add")),))
    assert isinstance(second, Generate)
    last = after_generation(
        second.state, answer(TextBlock(text="5"), usage=Usage(input_tokens=7, output_tokens=1))
    )
    assert last.state.usage == Usage(input_tokens=10, output_tokens=3)


def assert_paired(messages: tuple[Message, ...], *, open_ids: frozenset[str] = frozenset()) -> None:
    """Every call has exactly one result, in the next message, except those in ``open_ids``."""
    for place, message in enumerate(messages):
        asked = [each.id for each in tool_uses(message) if each.id not in open_ids]
        answered = (
            [each.tool_use_id for each in tool_results(messages[place + 1])]
            if place + 1 < len(messages)
            else []
        )
        assert sorted(asked) == sorted(answered)


GENERATIONS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["text", "add", "shell", "nonsense"]), max_size=4),
        st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal", "stop_sequence"]),
    ),
    min_size=1,
    max_size=6,
)


def test_calls_beyond_the_limit_are_refused_and_the_model_goes_on_without_tools() -> None:
    one, two, three = (call("add", f"c{number}") for number in (1, 2, 3))
    step = after_generation(start(max_calls=2).state, answer(one, two, three, stop="tool_use"))
    assert isinstance(step, RunTools)
    assert (step.calls, step.refused) == ((one, two), (three,))
    following = after_tools(step, (result(one), result(two)))
    assert isinstance(following, Generate)
    results = tool_results(following.state.request.messages[-1])
    assert [(each.tool_use_id, each.is_error) for each in results] == [
        ("c1", False),
        ("c2", False),
        ("c3", True),
    ]
    assert following.state.request.tool_choice == ToolChoice(mode="none")
    insisting = after_generation(following.state, answer(call("add", "c4"), stop="tool_use"))
    assert isinstance(insisting, Generate)
    assert tool_results(insisting.state.request.messages[-1])[0].is_error


def test_the_limit_of_calls_leaves_the_clients_tools_alone() -> None:
    state = start(clients=("shell",), max_calls=1).state
    step = after_generation(state, answer(call("add"), stop="tool_use"))
    assert isinstance(step, RunTools)
    following = after_tools(step, (result(call("add")),))
    assert isinstance(following, Generate)
    assert following.state.request.tool_choice is None
    mixed = answer(call("add", "c2"), call("shell", "c3"), stop="tool_use")
    last = after_generation(following.state, mixed)
    assert isinstance(last, Finish)
    assert last.reason == "client_tools"
    assert [each.tool_use_id for each in tool_results(last.state.produced[-1])] == ["c2"]


@given(GENERATIONS, st.integers(min_value=1, max_value=3), st.one_of(st.none(), st.integers(1, 3)))
def test_whatever_the_model_does_calls_and_results_stay_paired(
    script: list[tuple[list[str], StopReason]], max_rounds: int, max_calls: int | None
) -> None:
    first = start(clients=("shell",), max_rounds=max_rounds, max_calls=max_calls)
    step: Generate | RunTools | Finish = first
    number = 0
    for names, stop in script:
        if isinstance(step, Finish):
            break
        assert isinstance(step, Generate)
        blocks: list[TextBlock | ToolUseBlock] = []
        for name in names:
            number += 1
            blocks.append(TextBlock(text="…") if name == "text" else call(name, f"c{number}"))
        step = after_generation(step.state, answer(*blocks, stop=stop))
        if isinstance(step, RunTools):
            step = after_tools(step, tuple(result(each) for each in step.calls))
    open_ids: frozenset[str] = frozenset()
    if isinstance(step, Finish) and step.reason == "client_tools":
        calls = [each for message in step.state.produced for each in tool_uses(message)]
        open_ids = frozenset(each.id for each in calls if not runs_here(step.state, each))
        assert open_ids
    assert_paired(step.state.request.messages, open_ids=open_ids)
    assert step.state.rounds <= max_rounds
    assert max_calls is None or step.state.calls <= max_calls


# --- approvals


def held(of: ToolUseBlock) -> ToolUseBlock:
    return marked(of, Approval(id="mcpr_1", server="desk", tool=of.name))


def test_a_call_that_waits_ends_the_turn_and_is_left_open() -> None:
    asks = held(call("add"))
    step = after_generation(start().state, answer(asks))
    assert isinstance(step, Finish)
    assert (step.stop_reason, waiting(step.state)) == ("tool_use", (asks,))
    assert step.state.produced == (Message(role="assistant", content=(asks,)),)


def test_what_does_not_wait_is_run_before_the_turn_ends() -> None:
    asks, free = held(call("add", "c1")), call("add", "c2")
    step = after_generation(start().state, answer(asks, free))
    assert isinstance(step, RunTools)
    assert (step.calls, step.awaiting) == ((free,), (asks,))
    done = after_tools(step, (result(free),))
    assert isinstance(done, Finish)
    assert waiting(done.state) == (asks,)


def test_nobody_is_asked_where_no_more_may_be_run() -> None:
    state = replace(start(max_rounds=1).state, rounds=1)
    step = after_generation(state, answer(held(call("add"))))
    assert isinstance(step, Finish)
    assert step.reason == "max_rounds"
    assert waiting(step.state) == ()


def test_a_turn_that_begins_with_an_approval_runs_it_and_asks_the_model_then() -> None:
    asks = held(call("add"))
    first = start(max_calls=1)
    request = replace(
        first.state.request, messages=(user_text("go"), Message(role="assistant", content=(asks,)))
    )
    step = resume(request, first.state.policy, (asks,))
    then = after_tools(step, (result(asks),))
    assert isinstance(then, Generate)
    assert then.state.produced == (Message(role="user", content=(result(asks),)),)
    assert (then.state.calls, then.state.request.tool_choice) == (1, ToolChoice(mode="none"))


def test_a_forced_choice_holds_behind_an_approved_call() -> None:
    asks, choice = held(call("add")), ToolChoice(mode="required")
    first = start(choice=choice)
    conversation = (user_text("go"), Message(role="assistant", content=(asks,)))
    step = resume(replace(first.state.request, messages=conversation), first.state.policy, (asks,))
    then = after_tools(step, (result(asks),))
    assert isinstance(then, Generate)
    assert then.state.request.tool_choice == choice
