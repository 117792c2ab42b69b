"""To which model a turn goes: by name, by preference, by a directive of the user's."""

from __future__ import annotations

from typing import TypedDict

import anyio
import pytest
from msgspec import Raw

import callboard
from callboard.actors.addressing import addressed
from callboard.actors.order import AssistantSpec, TurnOrder
from callboard.domain.block import ToolUseBlock
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of, user_text
from callboard.domain.meter import Meter
from callboard.domain.model import ModelSpec, ModelTraits
from callboard.domain.pairing import check
from callboard.domain.preferences import ModelPreferences
from callboard.domain.principal import LOCAL, Principal
from callboard.errors import InvalidRequest, UnknownModel
from callboard.providers.routing import RouteTable
from callboard.providers.script import Script
from tests.fakes.company import Stage, company

pytestmark = pytest.mark.anyio

QUICK = ModelSpec(name="quick", provider="p", upstream_name="q-1")
DEEP = ModelSpec(name="deep", provider="p", upstream_name="d-1", traits=ModelTraits(reasoning=True))
ROUTES = RouteTable((QUICK, DEEP), providers={"p"})
NAMED = AssistantSpec(name="a", model="quick", directives=True)
CHAT = AssistantSpec(name="chat")
KEY = Principal(key_id="k", tenant="t", models=("quick",))


def order(text: str = "hi", model: str = "", principal: Principal = LOCAL, **more: object) -> TurnOrder:
    return TurnOrder(
        request=GenerationRequest(model=model, messages=(user_text(text),), **more),  # type: ignore[arg-type]
        response_id="r",
        principal=principal,
        meter=Meter("req", "test", lambda: 0),
    )


@pytest.mark.parametrize(
    "text, model, sent",
    [
        ("hi", "", "hi"),
        ("reason: hi", "deep", "hi"),
        ("fast: hi", "quick", "hi"),
        ("quick: hi", "quick", "hi"),
        ("use: deep hi", "deep", "hi"),
        ("model: deep hi", "deep", "hi"),
        ("use: p/d-1 hi", "p/d-1", "hi"),
        ("Reason: hi", "", "Reason: hi"),
    ],
)
def test_a_directive_chooses_and_is_taken_off(text: str, model: str, sent: str) -> None:
    request = addressed(order(text), NAMED, ROUTES).request
    assert (request.model, text_of(request.messages[0].content)) == (model, sent)


def test_what_the_client_said_item_by_item_loses_it_too() -> None:
    asked = order("fast: hi")
    told = addressed(
        TurnOrder(
            request=asked.request,
            response_id="r",
            principal=LOCAL,
            meter=asked.meter,
            items=(user_text("before"), user_text("fast: hi")),
        ),
        NAMED,
        ROUTES,
    )
    assert told.input == (user_text("before"), user_text("hi"))


@pytest.mark.parametrize("text", ["reason: hi", "use: deep hi"])
def test_an_assistant_without_directives_changes_no_text(text: str) -> None:
    asked = order(text, model="quick")
    assert addressed(asked, CHAT, ROUTES) is asked


def test_a_directive_goes_before_the_model_that_was_asked_for() -> None:
    assert addressed(order("reason: hi", model="quick"), NAMED, ROUTES).request.model == "deep"


def test_a_directive_chooses_only_what_the_key_may_ask_for() -> None:
    assert addressed(order("reason: hi", principal=KEY), NAMED, ROUTES).request.model == "quick"
    nothing = Principal(key_id="k", tenant="t", models=("other",))
    assert addressed(order("reason: hi", model="x", principal=nothing), NAMED, ROUTES).request.model == "x"


@pytest.mark.parametrize(
    "preferences, wire, model",
    [
        (None, None, "quick"),
        (ModelPreferences(intelligence=1.0), None, "deep"),
        (None, b'{"hints":[{"name":"DEEP"}]}', "deep"),
        (ModelPreferences(speed=1.0), b'{"hints":[{"name":"DEEP"}]}', "quick"),
    ],
)
@pytest.mark.parametrize("by", ["request", "assistant"])
def test_auto_is_the_model_that_suits(
    preferences: ModelPreferences | None, wire: bytes | None, model: str, by: str
) -> None:
    extra = None if wire is None else {"model_preferences": Raw(wire)}
    spec = CHAT if by == "request" else AssistantSpec(name="a", model="auto")
    asked = order(model="auto" if by == "request" else "", extra=extra)
    told = addressed(
        TurnOrder(
            request=asked.request,
            response_id="r",
            principal=LOCAL,
            meter=asked.meter,
            preferences=preferences,
        ),
        spec,
        ROUTES,
    )
    assert told.request.model == model
    assert told.request.extra is None


def test_auto_is_only_what_the_key_may_ask_for() -> None:
    extra = {"model_preferences": Raw(b'{"intelligencePriority":1}')}
    assert addressed(order(model="auto", principal=KEY, extra=extra), CHAT, ROUTES).request.model == "quick"
    nothing = Principal(key_id="k", tenant="t", models=("other",))
    with pytest.raises(UnknownModel, match="model 'auto' is not configured"):
        addressed(order(model="auto", principal=nothing), CHAT, ROUTES)


def test_preferences_that_cannot_be_read_are_refused() -> None:
    asked = order(model="auto", extra={"model_preferences": Raw(b'{"costPriority":7}')})
    with pytest.raises(InvalidRequest, match="costPriority"):
        addressed(asked, CHAT, ROUTES)


def test_a_model_that_the_operator_calls_auto_is_just_that() -> None:
    own = ModelSpec(name="auto", provider="p", upstream_name="a-1")
    routes = RouteTable((QUICK, own), providers={"p"})
    extra = {"model_preferences": Raw(b"1")}
    assert (
        addressed(order(model="auto", extra=extra), CHAT, routes).request
        == order(model="auto", extra=extra).request
    )


def test_without_models_of_our_own_auto_goes_to_the_catch_all() -> None:
    routes = RouteTable((), providers={"p"}, catch_all="p")
    assert addressed(order(model="auto"), CHAT, routes).request.model == "auto"


class Two(TypedDict):
    models: dict[str, dict[str, object]]
    assistants: dict[str, dict[str, object]]


CONFIG: Two = {
    "models": {"quick": {"provider": "a"}, "deep": {"provider": "b", "reasoning": True}},
    "assistants": {
        "default": {"model": "quick"},
        "any": {"model": "auto"},
        "strict": {"model": "quick", "directives": False},
    },
}


async def test_an_assistant_follows_a_directive_for_its_turn_alone_and_no_model_ever_sees_it() -> None:
    stage = Stage(a=Script(), b=Script())
    with anyio.fail_after(5):
        async with company(stage, config=CONFIG) as runtime:
            first = await runtime.ask("default", "reason: why?")
            second = await runtime.ask("default", "and how?", previous_response_id=first.response_id)
            strict = await runtime.ask("strict", "reason: why?")
    assert (first.model, first.text) == ("deep", "echo: why?")
    assert (second.model, second.text) == ("quick", "echo: and how?")
    seen = stage.handlers["a"].calls[0].request.messages
    assert [text_of(message.content) for message in seen] == ["why?", "echo: why?", "and how?"]
    assert (strict.model, strict.text) == ("quick", "echo: reason: why?")


async def test_a_model_that_does_not_exist_is_refused_with_what_there_is() -> None:
    with anyio.fail_after(5):
        async with company(Stage(a=Script(), b=Script()), config=CONFIG) as runtime:
            with pytest.raises(UnknownModel, match="did you mean 'deep'"):
                await runtime.ask("default", "use: deeep why?")


async def test_the_embedding_api_chooses_by_preferences() -> None:
    stage = Stage(a=Script(), b=Script())
    deep = ModelPreferences(intelligence=1.0)
    with anyio.fail_after(5):
        async with company(stage, config=CONFIG) as runtime:
            models = [
                (await runtime.ask("any", "hi")).model,
                (await runtime.ask("any", "hi", preferences=deep)).model,
                (await runtime.ask("default", "hi", preferences=deep)).model,
                (await runtime.ask("default", "hi", model="auto")).model,
                (await runtime.ask("default", "hi", model="quick", preferences=deep)).model,
                (await runtime.generate("auto", "hi")).model,
            ]
            async with runtime.stream("default", "hi", preferences=deep) as events:
                async for _ in events:
                    pass
    assert models == ["quick", "deep", "deep", "quick", "quick", "quick"]
    assert len(stage.handlers["b"].calls) == 3


# --- tools


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def test_a_tool_that_a_user_runs_is_called_and_the_message_stays() -> None:
    found = addressed(order('use add {"a": 1}', model="auto"), NAMED, ROUTES)
    assert found.direct == ToolUseBlock(id="call_r", name="add", input=Raw(b'{"a": 1}'))
    assert found.request.messages == (user_text('use add {"a": 1}'),)
    assert addressed(order('use add {"a": 1}'), CHAT, ROUTES).direct is None


async def test_a_tool_is_run_without_a_model_and_a_later_turn_knows_of_it() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(10):
        async with company(stage, tools=[add]) as runtime:
            text = 'use add {"a": 1, "b": 2}'
            reply = await runtime.ask("default", text)
            assert not stage.handlers["demo"].calls
            record = await runtime.wiring.store.response("local", reply.response_id)
            await runtime.ask("default", "and?", previous_response_id=reply.response_id)
    assert (reply.text, reply.stop_reason, reply.usage.total_tokens) == ("3.0", "end_turn", 0)
    assert [run.call.name for run in reply.tool_runs] == ["add"]
    assert record is not None
    assert record.status == "completed"
    sent = stage.handlers["demo"].calls[0].request.messages
    assert check(sent) is None
    assert [text_of(message.content) for message in sent] == [text, "", "", "3.0", "and?"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("use missing {}", "There is no tool named 'missing'. The available tools are: add."),
        ('use add {"a": 1}', "b"),
        ("use add {a}", "not a JSON object"),
    ],
)
async def test_what_goes_wrong_with_it_is_said_in_words(text: str, said: str) -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(10):
        async with company(stage, tools=[add]) as runtime:
            reply = await runtime.ask("default", text)
    assert said in reply.text
    assert not stage.handlers["demo"].calls
