"""Python functions as tools: called with what a model wrote, answered in words."""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import jsonschema
import msgspec
import pytest
from anyio import from_thread
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.block import Base64Source, ImageBlock, TextBlock
from callboard.domain.message import text_of
from callboard.domain.observation import Observation, ToolGivenUp, ToolProgressed, ToolRaised
from callboard.domain.tools import ToolOutcome
from callboard.errors import ConfigurationError, InvalidArguments, ToolError
from callboard.tools.context import NOWHERE, CallOrigin, ToolContext
from callboard.tools.function import FunctionTool, FunctionTools, tool
from callboard.tools.source import ToolSource, ToolTraits

pytestmark = pytest.mark.anyio

IMAGE = ImageBlock(source=Base64Source(media_type="image/png", data="AAAA"))


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool(name="slow-echo", description="Say it again.", timeout_s=5, idempotent=True)
async def echo(text: str) -> str:
    await anyio.lowlevel.checkpoint()
    return text


def watched() -> tuple[ToolContext, list[Observation]]:
    """The context of a call, and what is observed of it."""
    seen: list[Observation] = []
    origin = CallOrigin(request_id="req_1", response_id="resp_1", tenant="acme")
    return ToolContext(call_id="call_1", name="it", origin=origin, observe=seen.append), seen


async def text_from(function: FunctionTool[..., object], arguments: bytes = b"{}") -> str:
    with anyio.fail_after(5):
        return text_of((await function.run(Raw(arguments))).content)


def test_a_tool_stays_the_function_it_was() -> None:
    total: int = add(1, 2)  # the annotation has mypy check that the types were kept

    assert total == 3
    assert add.__name__ == "add"
    assert add.__doc__ == "Add two numbers."


def test_a_bare_tool_takes_its_name_and_description_from_the_function() -> None:
    assert (add.definition.name, add.definition.description) == ("add", "Add two numbers.")
    assert add.traits == ToolTraits(idempotent=False, timeout_s=60.0, stoppable=False)


def test_options_override_what_the_function_says() -> None:
    assert (echo.definition.name, echo.definition.description) == ("slow-echo", "Say it again.")
    assert echo.traits == ToolTraits(idempotent=True, timeout_s=5)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "x" * 65, "a\n"])
def test_a_name_that_some_dialect_forbids_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 64 letters"):
        tool(name=name)(add)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="<lambda>"):
        tool(lambda: 1)


async def test_arguments_reach_the_function_and_defaults_are_its_own() -> None:
    assert await text_from(add, b'{"a":1,"b":2}') == "3"
    assert await text_from(add, b'{"a":"41"}') == "42"


async def test_an_asynchronous_function_is_awaited() -> None:
    assert await text_from(echo, b'{"text":"hello"}') == "hello"


async def test_bad_arguments_are_refused_before_the_function_runs() -> None:
    ran = []

    @tool
    def record(a: int) -> None:
        ran.append(a)

    with pytest.raises(
        InvalidArguments, match=r"tool 'record'.*`\$\.a`.*Parameters: a \(integer, required\)"
    ):
        await record.run(Raw(b'{"a":"x"}'))
    assert ran == []


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    "result, expected",
    [
        ("plain", "plain"),
        ("", "Tool returned no output."),
        (None, "Tool returned no output."),
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([], "[]"),
        ((1, "é"), '[1,"é"]'),
        (Point(x=1), '{"x":1}'),
        (TextBlock(text="block"), "block"),
        ([TextBlock(text="one "), TextBlock(text="two")], "one two"),
        ([TextBlock(text="one"), 2], '[{"type":"text","text":"one","extra":null},2]'),
    ],
)
async def test_a_result_becomes_text(result: object, expected: str) -> None:
    @tool
    def give() -> object:
        return result

    with anyio.fail_after(5):
        outcome = await give.run(Raw(b"{}"))
    assert not outcome.is_error
    assert text_of(outcome.content) == expected


async def test_images_and_whole_outcomes_pass_as_they_are() -> None:
    refused = ToolOutcome(content=(IMAGE,), is_error=True)

    @tool
    def draw() -> ImageBlock:
        return IMAGE

    @tool
    def refuse() -> ToolOutcome:
        return refused

    assert await draw.run(Raw(b"{}")) == ToolOutcome(content=(IMAGE,))
    assert await refuse.run(Raw(b"{}")) is refused


async def test_a_tool_error_tells_the_model_exactly_its_text_and_nobody_else() -> None:
    context, noticed = watched()

    @tool
    def lookup() -> str:
        raise ToolError("No such customer; ask for the number.")

    outcome = await lookup.run(Raw(b"{}"), context)
    assert outcome.is_error
    assert text_of(outcome.content) == "No such customer; ask for the number."
    assert noticed == []


async def test_an_accident_is_named_to_the_model_and_shown_whole_to_the_observer_alone() -> None:
    context, noticed = watched()
    error = ValueError("bad number\nsecond line with details")

    @tool
    def fail() -> str:
        raise error

    outcome = await FunctionTools([fail]).call("fail", Raw(b"{}"), context)
    assert outcome.is_error
    assert text_of(outcome.content) == "Tool 'fail' failed unexpectedly (ValueError)."
    assert noticed == [ToolRaised(request_id="req_1", name="fail", error=error)]


async def test_a_result_that_json_cannot_carry_is_an_error_outcome() -> None:
    @tool
    def give() -> object:
        return object()

    outcome = await give.run(Raw(b"{}"))
    assert outcome.is_error
    assert text_of(outcome.content) == "Tool 'give' failed unexpectedly (TypeError)."


async def test_a_synchronous_function_runs_beside_the_event_loop() -> None:
    loop_thread = threading.get_ident()
    seen: list[int] = []

    @tool
    def where() -> str:
        seen.append(threading.get_ident())
        from_thread.run(anyio.lowlevel.checkpoint)  # only possible while the loop is free to run
        return "done"

    assert await text_from(where) == "done"
    assert seen
    assert seen[0] != loop_thread


async def test_cancelling_abandons_a_synchronous_function() -> None:
    release = threading.Event()
    finished = threading.Event()
    started = anyio.Event()

    @tool
    def block() -> None:
        from_thread.run_sync(started.set)
        release.wait(5)
        finished.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(block.run, Raw(b"{}"))
            await started.wait()
            group.cancel_scope.cancel()
        assert not finished.is_set()
        release.set()
        assert await anyio.to_thread.run_sync(functools.partial(finished.wait, 5))


async def test_cancelling_cancels_an_asynchronous_function_and_is_no_outcome() -> None:
    outcomes: list[ToolOutcome] = []
    started = anyio.Event()

    @tool
    async def wait() -> None:
        started.set()
        await anyio.sleep_forever()

    async def run() -> None:
        outcomes.append(await wait.run(Raw(b"{}")))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await started.wait()
            group.cancel_scope.cancel()
    assert outcomes == []


async def test_a_source_lists_and_calls_its_functions_in_the_order_given() -> None:
    source: ToolSource = FunctionTools([echo, add])

    assert [each.name for each in await source.definitions()] == ["slow-echo", "add"]
    assert source.traits("slow-echo").idempotent
    assert source.traits("nobody") == ToolTraits()
    assert text_of((await source.call("add", Raw(b'{"a":1}'), NOWHERE)).content) == "2"


async def test_a_source_answers_an_unknown_name_with_the_known_ones() -> None:
    outcome = await FunctionTools([echo, add]).call("sub", Raw(b"{}"))

    assert outcome.is_error
    assert "add, slow-echo" in text_of(outcome.content)


async def test_a_function_knows_its_call_if_it_wants_to() -> None:
    context, noticed = watched()

    @tool
    async def build(target: str, context: ToolContext) -> str:
        """Build it."""
        await context.progress(0.5, "compiling")
        await context.progress()
        return f"{target} {context.call_id} {context.request_id} {context.response_id} {context.tenant}"

    assert "context" not in msgspec.json.decode(build.definition.input_schema)["properties"]
    outcome = await build.run(Raw(b'{"target": "all"}'), context)
    assert text_of(outcome.content) == "all call_1 req_1 resp_1 acme"
    assert noticed == [
        ToolProgressed(request_id="req_1", name="it", fraction=0.5, message="compiling"),
        ToolProgressed(request_id="req_1", name="it"),
    ]


async def test_a_function_in_a_thread_tells_its_progress_too() -> None:
    context, noticed = watched()

    @tool
    def build(context: ToolContext | None = None) -> str:
        assert context is not None
        from_thread.run(context.progress, 1.0)
        return "built"

    with anyio.fail_after(5):
        assert text_of((await build.run(Raw(b"{}"), context)).content) == "built"
    assert noticed == [ToolProgressed(request_id="req_1", name="it", fraction=1.0)]


async def test_a_model_cannot_hand_over_a_context() -> None:
    @tool
    async def build(context: ToolContext) -> str:
        return "built"

    with pytest.raises(InvalidArguments, match="unknown field `context`"):
        await build.run(Raw(b'{"context": {}}'))


async def test_a_source_says_when_it_gives_a_thread_up() -> None:
    context, noticed = watched()
    release, started = threading.Event(), anyio.Event()

    @tool
    def block() -> None:
        from_thread.run_sync(started.set)
        release.wait(5)

    source = FunctionTools([block])
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(source.call, "block", Raw(b"{}"), context)
            await started.wait()
            group.cancel_scope.cancel()
    release.set()
    assert noticed == [ToolGivenUp(request_id="req_1", name="block")]


async def test_only_what_can_be_cancelled_is_stoppable() -> None:
    assert echo.traits.stoppable
    assert not add.traits.stoppable


async def test_a_source_reports_its_functions() -> None:
    reports = await FunctionTools([add]).reports()
    assert [(each.name, each.source, each.state, each.description) for each in reports] == [
        ("add", "function", "available", "Add two numbers.")
    ]


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'add'"):
        FunctionTools([add, add])


TYPES: dict[Any, st.SearchStrategy[object]] = {
    str: st.text(),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    None: st.none(),
    list[int]: st.lists(st.integers(0, 9)),
    dict[str, bool]: st.dictionaries(st.text(max_size=3), st.booleans()),
    str | None: st.text() | st.none(),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
    tuple[int, str]: st.tuples(st.integers(0, 9), st.text(max_size=3)),
}


@st.composite
def signatures(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, object]]:
    """Parameter names with their types, and a value that fits each."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=5))
    hints = {name: draw(st.sampled_from(list(TYPES))) for name in names}
    return hints, {name: draw(TYPES[hint]) for name, hint in hints.items()}


def recorder(hints: dict[str, Any], seen: list[dict[str, object]]) -> Callable[..., None]:
    """A function with exactly these parameters that records what it was called with."""
    scope: dict[str, Any] = {"seen": seen}
    exec(f"def record({', '.join(hints)}):\n    seen.append(dict(locals()))", scope)
    function: Callable[..., None] = scope["record"]
    function.__annotations__.update(hints)
    return function


@settings(max_examples=60, deadline=None)
@given(signature=signatures())
def test_what_fits_the_schema_reaches_the_function_unchanged(
    signature: tuple[dict[str, Any], dict[str, object]],
) -> None:
    hints, values = signature
    seen: list[dict[str, object]] = []
    made = tool(recorder(hints, seen))
    encoded = msgspec.json.encode(values)

    jsonschema.validate(msgspec.json.decode(encoded), msgspec.json.decode(made.definition.input_schema))
    outcome = anyio.run(made.run, Raw(encoded))

    assert not outcome.is_error
    assert seen == [values]
