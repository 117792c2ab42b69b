"""Servers answered by the real actors: by which model, at whose cost, within which limits, in which words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest
from msgspec.structs import replace

import callboard
from callboard.actors.rate_limiter import Accounts
from callboard.actors.sampling import MessageProvider, SamplingConfig, SamplingManager, error_of
from callboard.domain.message import Message, text_of, user_text
from callboard.domain.meter import Meter
from callboard.domain.model import ModelSpec, ModelTraits
from callboard.domain.preferences import ModelPreferences
from callboard.domain.principal import LOCAL, Principal
from callboard.domain.sampling import (
    Originator,
    SamplingPolicy,
    SamplingResult,
    TextContent,
    ToolUseContent,
    decode_params,
)
from callboard.errors import (
    ActorFailed,
    BudgetExceeded,
    InvalidRequest,
    PermissionDenied,
    RateLimited,
    UnknownModel,
    UpstreamAuthentication,
    UpstreamError,
    UpstreamRateLimited,
)
from callboard.providers.script import Fail, Hold, Reply, Script, Text, Tool
from callboard.runtime import Runtime
from tests.fakes.company import Stage, company, replies
from tests.fakes.openai_traffic import Answer, chat_stream, failure
from tests.fakes.relayed import openai_config
from tests.fakes.upstream import FakeUpstream, serve_upstream

pytestmark = pytest.mark.anyio
SERVER = "files"
POLICY = SamplingPolicy(enabled=True, models=("*",), max_tokens=1000)


def params(text: str = "hi", /, **more: object) -> bytes:
    """A request of a server's."""
    message = {"role": "user", "content": {"type": "text", "text": text}}
    return msgspec.json.encode({"messages": [message], "maxTokens": 100, **more})


def hints(*names: str) -> dict[str, object]:
    return {"modelPreferences": {"hints": [{"name": name} for name in names]}}


def caller(principal: Principal = LOCAL, *, depth: int = 0) -> Originator:
    """A pending call of a request of its own."""
    return Originator(principal, Meter("req_1", "test", lambda: 0, account_id="acc_1"), depth=depth)


def manager(runtime: Runtime, policy: SamplingPolicy = POLICY, **config: object) -> SamplingManager:
    """One that answers `SERVER`."""
    chosen = SamplingConfig(client_configs=runtime.config.models)
    return SamplingManager(replace(chosen, **config), {SERVER: policy}, runtime.observe)


async def sample(
    runtime: Runtime,
    asked: bytes,
    policy: SamplingPolicy = POLICY,
    on_behalf: Originator | None = None,
) -> SamplingResult:
    """One answer."""
    answering = manager(runtime, policy).answer(SERVER, asked, on_behalf or caller(), runtime.providers)
    return await answering


async def settled(runtime: Runtime) -> Accounts:
    accounts = await runtime.accounts()
    while accounts.tokens.open:
        await anyio.lowlevel.checkpoint()
        accounts = await runtime.accounts()
    return accounts


# --- what the model is sent
# -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def real(**model: object) -> AsyncIterator[tuple[Runtime, FakeUpstream]]:
    """A runtime in front of an upstream that speaks OpenAI's chat dialect."""
    async with serve_upstream() as upstream:
        config = openai_config(upstream.base_url)
        config["models"] = {"demo-model": {"provider": "up", "upstream_name": "fake-1", **model}}
        async with company(Stage(unused=Script()), config=config) as runtime:
            yield runtime, upstream


async def test_what_a_server_asks_for_is_what_the_provider_is_asked() -> None:
    image = {"role": "user", "content": {"type": "image", "data": "aGk=", "mimeType": "image/png"}}
    said = {"role": "assistant", "content": {"type": "text", "text": "Yes?"}}
    with anyio.fail_after(5):
        async with real() as (runtime, upstream):
            result = await sample(
                runtime,
                msgspec.json.encode(
                    {
                        "messages": [said, image],
                        "maxTokens": 5000,
                        "temperature": 0.5,
                        "stopSequences": ["END"],
                        "systemPrompt": "Be brief.",
                        "includeContext": "allServers",
                        "metadata": {"extra_args": {"model": "dearest", "seed": 1}},
                    }
                ),
            )
            sent = (await upstream.exchange(0)).json()
    assert sent["model"] == "fake-1"
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Yes?"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}],
        },
    ]
    assert (sent["max_tokens"], sent["temperature"], sent["stop"]) == (1000, 0.5, ["END"])
    assert {"seed", "tools", "reasoning_effort"} & set(sent) == set()
    assert result.model == "fake-1"


async def test_a_reasoning_model_is_asked_in_its_own_way() -> None:
    with anyio.fail_after(5):
        async with real(reasoning=True) as (runtime, upstream):
            await sample(runtime, params(systemPrompt="Be brief.", temperature=0.5))
            sent = (await upstream.exchange(0)).json()
    assert (sent["max_completion_tokens"], sent["reasoning_effort"]) == (100, "medium")
    assert {"max_tokens", "temperature"} & set(sent) == set()
    assert sent["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


@pytest.mark.parametrize(
    "finish_reason, word", [("stop", "endTurn"), ("length", "maxTokens"), ("content_filter", "refusal")]
)
async def test_the_server_hears_why_it_ended_and_which_model_it_was_and_nothing_else(
    finish_reason: str, word: str
) -> None:
    with anyio.fail_after(5):
        async with real() as (runtime, upstream):
            upstream.queue(chat_stream("Hello ", "you", finish_reason=finish_reason))
            result = await sample(runtime, params())
    assert msgspec.json.decode(msgspec.json.encode(result)) == {
        "role": "assistant",
        "content": {"type": "text", "text": "Hello you"},
        "model": "fake-1",
        "stopReason": word,
    }


@pytest.mark.parametrize(
    "fails, code",
    [
        (failure(401, message="key sk-secret-1234"), 401),
        (failure(429, message="org-secret is slow", retry_after="120"), 429),
        (failure(500, message="secret trace", retry_after="120"), 500),
    ],
    ids=["401", "429", "500"],
)
async def test_a_provider_that_fails_is_an_error_with_its_status_and_without_its_words(
    fails: Answer, code: int
) -> None:
    with anyio.fail_after(5):
        async with real() as (runtime, upstream):
            upstream.queue(fails)
            with pytest.raises(UpstreamError) as failed:
                await sample(runtime, params())
            again = await sample(runtime, params("still there?"))
            accounts = await settled(runtime)
    told = error_of(failed.value)
    assert told.code == code
    assert told.message.startswith("the model could not be asked: upstream_")
    assert "secret" not in told.message
    assert again.content == TextContent(text="echo: still there?")
    assert [line.outcome for line in accounts.recent] == ["failed", "completed"]


@pytest.mark.parametrize(
    "error, code, message",
    [
        (InvalidRequest("maxTokens is missing"), -32602, "maxTokens is missing"),
        (PermissionDenied("sampling is not allowed"), -1, "sampling is not allowed"),
        (UnknownModel("model 'x' of key 7"), 404, "no model is configured for sampling"),
        (BudgetExceeded("key 7 has spent 3 USD"), 429, "the model could not be asked: budget_exceeded"),
        (UpstreamAuthentication("sk-1"), 502, "the model could not be asked: upstream_authentication"),
        (ActorFailed("internals"), -32603, "error handling sampling request"),
        (RuntimeError("internals"), -32603, "error handling sampling request"),
    ],
)
def test_an_error_is_told_with_a_code_and_nothing_private(error: Exception, code: int, message: str) -> None:
    told = error_of(error)
    assert (told.code, told.message) == (code, message)


# --- which model
# -------------------------------------------------------------------------------------------------

TWO = {"quick": Script(), "deep": Script()}
RANKED = {
    "models": {"quick-model": {"provider": "quick"}, "deep-model": {"provider": "deep", "reasoning": True}}
}


@pytest.mark.parametrize(
    "preferences, model",
    [
        ({}, "quick-model"),
        (hints("DEEP"), "deep-model"),
        (hints("", "nothing", "deep"), "deep-model"),
        ({"modelPreferences": {"intelligencePriority": 1}}, "deep-model"),
        ({"modelPreferences": {"speedPriority": 1}}, "quick-model"),
    ],
)
async def test_the_model_is_the_one_that_the_server_prefers(
    preferences: dict[str, object], model: str
) -> None:
    with anyio.fail_after(5):
        async with company(Stage(**TWO), config=RANKED) as runtime:
            assert (await sample(runtime, params(**preferences))).model == model


async def test_the_default_preferences_apply_where_a_server_states_none() -> None:
    with anyio.fail_after(5):
        async with company(Stage(**TWO), config=RANKED) as runtime:
            sampling = manager(runtime, default_model_preferences=ModelPreferences(intelligence=1.0))
            by_default = await sampling.answer(SERVER, params(), caller(), runtime.providers)
            stated = await sampling.answer(SERVER, params(**hints("quick")), caller(), runtime.providers)
    assert (by_default.model, stated.model) == ("deep-model", "quick-model")


async def test_fifty_servers_at_once_each_get_the_model_they_hint_at() -> None:
    stage = Stage(**{f"p{number:02}": Script() for number in range(50)})
    answers: dict[int, SamplingResult] = {}
    with anyio.fail_after(10):
        async with company(stage) as runtime, anyio.create_task_group() as tasks:
            sampling = manager(runtime)

            async def ask(number: int) -> None:
                asked = params(f"I am {number}", **hints(f"P{number:02}"))
                answers[number] = await sampling.answer(SERVER, asked, caller(), runtime.providers)

            for number in range(50):
                tasks.start_soon(ask, number)
    assert {number: answer.model for number, answer in answers.items()} == {
        number: f"p{number:02}-model" for number in range(50)
    }
    for number in range(50):
        (call,) = stage.handlers[f"p{number:02}"].calls
        assert text_of(call.request.messages[0].content) == f"I am {number}"


async def test_only_models_that_both_the_policy_and_the_callers_key_allow_are_given() -> None:
    only_deep = replace(POLICY, models=("deep-*",))
    of_quick = Principal(key_id="k", tenant="t", models=("quick-model",))
    with anyio.fail_after(5):
        async with company(Stage(**TWO), config=RANKED) as runtime:
            assert (await sample(runtime, params(**hints("quick")), only_deep)).model == "deep-model"
            of_key = await sample(runtime, params(**hints("deep")), on_behalf=caller(of_quick))
            assert of_key.model == "quick-model"
            with pytest.raises(UnknownModel):
                await sample(runtime, params(), only_deep, caller(of_quick))


async def test_a_model_that_sees_is_given_to_a_server_with_an_image() -> None:
    image = {"role": "user", "content": {"type": "image", "data": "aGk=", "mimeType": "image/png"}}
    asked = msgspec.json.encode({"messages": [image], "maxTokens": 5})
    blind = {
        "models": {"quick-model": {"provider": "quick", "images": False}, "deep-model": {"provider": "deep"}}
    }
    with anyio.fail_after(5):
        async with company(Stage(**TWO), config=blind) as runtime:
            assert (await sample(runtime, asked)).model == "deep-model"
            with pytest.raises(InvalidRequest, match="takes no images"):
                await sample(runtime, asked, replace(POLICY, models=("quick-model",)))


# --- variables
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ('{"variable": "history_messages"}', ["earlier", "later"]),
        ('{"variable": "unheard_of"}', ['{"variable": "unheard_of"}']),
        ('{"variable": "history_messages", "x": 1}', ['{"variable": "history_messages", "x": 1}']),
        ('{"variable": history_messages}', ['{"variable": history_messages}']),
        ('see {"variable": "history_messages"}', ['see {"variable": "history_messages"}']),
    ],
)
async def test_a_variable_stands_for_what_its_provider_gives(text: str, expected: list[str]) -> None:
    asked: list[tuple[int | None, str]] = []

    async def history(available_tokens: int | None, model: ModelSpec) -> Sequence[Message]:
        asked.append((available_tokens, model.name))
        return (user_text("earlier"), user_text("later"))

    provider: MessageProvider = history
    stage = Stage(demo=Script())
    config = {"models": {"demo-model": {"provider": "demo", "context_window": 1000}}}
    with anyio.fail_after(5):
        async with company(stage, config=config) as runtime:
            sampling = manager(runtime, message_providers={"history_messages": provider})
            await sampling.answer(SERVER, params(text), caller(), runtime.providers)
    sent = stage.handlers["demo"].calls[0].request.messages
    assert [text_of(message.content) for message in sent] == expected
    if expected == ["earlier", "later"]:
        ((available, model),) = asked
        assert model == "demo-model"
        assert available is not None
        assert 800 < available < 900  # the window, less the answer and the prompt
    else:
        assert asked == []


async def test_without_providers_a_variable_is_a_text_like_any_other() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            result = await sample(runtime, params('{"variable": "history_messages"}'))
    assert result.content == TextContent(text='echo: {"variable": "history_messages"}')


# --- the policy
# -------------------------------------------------------------------------------------------------


async def test_a_server_may_ask_only_where_the_operator_says_so() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            with pytest.raises(PermissionDenied, match="not allowed for this server"):
                await sample(runtime, params(), SamplingPolicy(models=("*",)))
            with pytest.raises(PermissionDenied):
                await manager(runtime).answer("another", params(), caller(), runtime.providers)
            with pytest.raises(PermissionDenied):
                await runtime.wiring.sampling.answer(SERVER, params(), caller(), runtime.providers)
    assert len(stage.handlers["demo"].calls) == 0


async def test_sampling_within_sampling_is_refused() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            with pytest.raises(PermissionDenied, match="within sampling"):
                await sample(runtime, params(), on_behalf=caller(depth=1))
    assert len(stage.handlers["demo"].calls) == 0


async def test_a_flood_within_one_call_ends_at_its_limit() -> None:
    stage = Stage(demo=Script())
    policy = replace(POLICY, max_requests=3)
    call = caller()
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            for _ in range(3):
                await sample(runtime, params(), policy, call)
            with pytest.raises(PermissionDenied, match="too often"):
                await sample(runtime, params(), policy, call)
            await sample(runtime, params(), policy, caller())
    assert len(stage.handlers["demo"].calls) == 4


@callboard.tool
def look() -> str:
    """Look."""
    return "it"


async def test_no_tool_of_ours_is_offered_and_none_runs() -> None:
    stage = Stage(demo=replies([Tool(name="look", id="c1")]))
    with anyio.fail_after(5):
        async with company(stage, tools=[look]) as runtime:
            sampling = manager(runtime, tools_config=(look.definition,))
            result = await sampling.answer(SERVER, params(), caller(), runtime.providers)
    (call,) = stage.handlers["demo"].calls
    assert call.request.tools == ()
    assert result.content == TextContent(text="")


async def test_a_servers_own_tools_are_for_it_to_run() -> None:
    stage = Stage(demo=replies([Text(text="I look."), Tool(name="peek", id="c1", arguments={"a": 1})]))
    offered = {"tools": [{"name": "peek", "inputSchema": {"type": "object"}}]}
    with anyio.fail_after(5):
        async with company(stage, tools=[look]) as runtime:
            result = await sample(runtime, params(**offered), replace(POLICY, tools=True))
            with pytest.raises(InvalidRequest, match="not allowed"):
                await sample(runtime, params(**offered))
    (call,) = stage.handlers["demo"].calls
    assert [tool.name for tool in call.request.tools] == ["peek"]
    assert result.stop_reason == "toolUse"
    assert isinstance(result.content, tuple)
    assert result.content[0] == TextContent(text="I look.")
    assert isinstance(result.content[1], ToolUseContent)


async def test_params_that_were_read_already_are_taken_too() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=Script())) as runtime:
            asked = decode_params(params("again"))
            result = await manager(runtime).answer(SERVER, asked, caller(), runtime.providers)
    assert result.content == TextContent(text="echo: again")


# --- at whose cost
# -------------------------------------------------------------------------------------------------

PRICED = {"models": {"demo-model": {"provider": "demo", "input": 1, "output": 2}}}


async def test_it_is_charged_to_the_key_that_caused_it_and_told_in_its_request() -> None:
    stage = Stage(demo=replies([Text(text="one two three")], [Text(text="four")]))
    of_key = Principal(key_id="key_7", tenant="t")
    call = caller(of_key)
    with anyio.fail_after(5):
        async with company(stage, config=PRICED) as runtime:
            sampling = manager(runtime)
            await sampling.answer(SERVER, params("hi"), call, runtime.providers)
            await sampling.answer(SERVER, params("hi you"), call, runtime.providers)
            accounts = await settled(runtime)
    assert [(line.key, line.request_id, line.outcome) for line in accounts.recent] == [
        ("key_7", "req_1", "completed"),
        ("key_7", "req_1", "completed"),
    ]
    assert len({line.attempt_id for line in accounts.recent}) == 2
    assert set(accounts.by_key) == {"key_7"}
    assert (call.meter.usage.input_tokens, call.meter.usage.output_tokens) == (3, 4)
    assert call.meter.cost_picousd == 3 * 1_000_000 + 4 * 2_000_000
    assert call.meter.cost_picousd == sum(line.cost_picousd for line in accounts.recent)
    assert call.meter.attempts == 2
    said = [line for line in stage.lines() if 'msg="provider response"' in line]
    assert len(said) == 2
    assert all("model=demo-model" in line and "request_id=req_1" in line for line in said)


async def test_several_at_once_for_one_request_are_accounted_each() -> None:
    stage = Stage(demo=Script())
    call = caller()
    with anyio.fail_after(5):
        async with company(stage, config=PRICED) as runtime:
            sampling = manager(runtime)
            async with anyio.create_task_group() as tasks:
                for number in range(16):
                    tasks.start_soon(sampling.answer, SERVER, params(f"n{number}"), call, runtime.providers)
            accounts = await settled(runtime)
    assert len({line.attempt_id for line in accounts.recent}) == 16
    assert call.meter.usage.output_tokens == 32  # echo: and a word
    assert call.meter.attempts == 16
    assert accounts.tokens.reserved == accounts.tokens.settled + accounts.tokens.released


async def test_the_limits_of_the_key_hold() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(5):
        async with company(stage, config={"limits": {"requests_per_minute": 1}}) as runtime:
            await sample(runtime, params())
            with pytest.raises(RateLimited):
                await sample(runtime, params())
            await sample(runtime, params(), on_behalf=caller(Principal(key_id="other", tenant="t")))
    assert len(stage.handlers["demo"].calls) == 2


async def test_leaving_closes_the_upstream_and_settles() -> None:
    stage = Stage(demo=replies([Hold(gate="g"), Text(text="never")]))
    demo = stage.handlers["demo"]
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sample, runtime, params())
                await demo.gates["g"].reached.wait()
                tasks.cancel_scope.cancel()
            assert demo.open_answers == 0
            accounts = await settled(runtime)
    assert [line.outcome for line in accounts.recent] == ["cancelled"]


# --- within a call
# -------------------------------------------------------------------------------------------------


async def test_a_call_that_is_pending_has_its_sampling_answered_and_then_goes_on() -> None:
    """With one place for the key, and as many calls at once as the tool runner and a turn have places."""
    calls = 80
    asks = Reply(steps=tuple(Tool(name="consult", id=f"c{number}") for number in range(calls)))
    script = Script(replies=(asks, *(Reply(steps=(Text(text="sampled"),)) for _ in range(calls))))
    stage = Stage(demo=script)
    found: list[Runtime] = []

    @callboard.tool
    async def consult() -> str:
        """Ask a model, as an MCP server would."""
        result = await sample(found[0], params("what now?"))
        assert isinstance(result.content, TextContent)
        return result.content.text

    with anyio.fail_after(10):
        async with company(stage, tools=[consult], config={"limits": {"parallel": 1}}) as runtime:
            found.append(runtime)
            reply = await runtime.ask("default", "go")
            accounts = await settled(runtime)
    assert [text_of(run.result.content) for run in reply.tool_runs] == ["sampled"] * calls
    assert len(accounts.recent) == calls + 2


async def test_a_server_is_told_of_a_failure_and_the_call_goes_on() -> None:
    fails = Fail(error="upstream_rate_limited", status=429, retry_after_s=120)
    stage = Stage(demo=replies([Tool(name="consult", id="c1")], [fails], [Text(text="well")]))
    found: list[Runtime] = []

    @callboard.tool
    async def consult() -> str:
        """Ask a model, as an MCP server would."""
        try:
            await sample(found[0], params())
        except UpstreamRateLimited as error:
            return str(error_of(error).code)
        return "answered"

    with anyio.fail_after(5):
        async with company(stage, tools=[consult]) as runtime:
            found.append(runtime)
            reply = await runtime.ask("default", "go")
    assert text_of(reply.tool_runs[0].result.content) == "429"
    assert reply.text == "well"


def test_models_that_hear_are_for_the_operator_to_name() -> None:
    assert not ModelTraits().audio
